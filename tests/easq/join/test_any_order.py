"""Behaviours may come twice and in any order; the samples are the same."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easq.events import BEHAVIOURS

COLUMNS = ["request_id", "exposed", "watched_seconds", "event_ids"]
COLUMNS += [f"behaviour.{name}" for name in BEHAVIOURS]

behaviours = st.lists(
    st.tuples(
        st.integers(0, 3),  # request
        st.integers(1, 4),  # item; 4 is no candidate
        st.floats(0, 40, width=32),
        st.sampled_from(BEHAVIOURS),
    ),
    min_size=1,
    max_size=12,
)


@given(behaviours, st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_duplicates_and_order_change_nothing(spec, new_script, seen, data):
    def joined(order: list[int]) -> list[dict]:
        script = new_script(spec)
        of = [script.shown(1_000 + i, f"r{i}") for i in range(4)]
        for place, k in enumerate(order):
            request, item, seconds, action = seen[k]
            script.watched(2_000 + place, of[request], item, seconds, action, event_id=f"b{k}")
        script.tick(60_000)
        return [r for w in script.joined() for r in w.select(COLUMNS).to_pylist()]

    once = list(range(len(seen)))
    again = once + data.draw(st.lists(st.sampled_from(once), max_size=8))
    assert joined(data.draw(st.permutations(again))) == joined(once)
