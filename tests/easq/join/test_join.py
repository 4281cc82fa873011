"""What becomes of a request, told event by event. Feedback windows are 10 s, windows 1 s."""

import pyarrow as pa
import pytest

from easq.events import BEHAVIOURS, Answer
from easq.features import Categorical
from easq.log.ipc import from_bytes, to_bytes
from easq.samples import SEALED, check_samples, sample_schema


def samples(windows: list[pa.Table]) -> list[dict]:
    return [row for window in windows for row in window.to_pylist()]


def happened(row: dict) -> dict[str, list[bool]]:
    return {name: row[f"behaviour.{name}"] for name in BEHAVIOURS if any(row[f"behaviour.{name}"])}


def test_a_behaviour_sample_has_the_request_as_served_and_what_came_of_it(script, spec):
    of = script.shown(1_000, "r", items=(11, 12, 13), duration=20.0)
    script.watched(2_000, of, 12, 3.0, "like", event_id="b1")
    script.watched(5_000, of, 12, 9.5, event_id="b3")
    script.watched(4_000, of, 13, 1.0, "hate", event_id="b2")
    script.tick(20_000)
    (row,) = samples(script.joined())
    assert (row["request_id"], row["kind"]) == ("r", "behaviour")
    assert row["item_id"] == [11, 12, 13]
    assert row["item.tag"] == [1, 2, 3]
    assert row["exposed"] == [False, True, True]
    assert row["watched_seconds"] == [0.0, 9.5, 1.0]
    assert row["duration_seconds"] == [20.0, 20.0, 20.0]
    assert happened(row) == {
        "effective_view": [False, True, False],
        "like": [False, True, False],
        "hate": [False, False, True],
    }
    assert row["answer"] == [Answer.NONE] * 3
    assert (row["event_ids"], row["input_offset"]) == (["b1", "b2", "b3"], 4)
    assert (row["model_version"], row["model_seq"]) == (3, 14)
    assert row["propensity"] == [0.0, 0.0, 0.0]


def test_an_impression_of_an_older_release_is_joined(script):
    of = script.shown(1_000)
    older = from_bytes(script.impression_at(of)).drop_columns("model_name")
    script.events[of]["impression"] = to_bytes(older)
    script.watched(2_000, of, 2, 3.0)
    script.tick(20_000)
    (row,) = samples(script.joined())
    assert (row["model_version"], row["watched_seconds"]) == (3, [0.0, 3.0, 0.0])


def test_the_table_is_what_training_reads(script, spec):
    of = script.shown(1_000)
    script.watched(2_000, of, 2, 3.0)
    script.answered(3_000, of, 2)
    script.tick(20_000)
    for window in script.joined():
        assert window.schema.equals(pa.schema([*sample_schema(spec), *SEALED]))
        check_samples(window.select(sample_schema(spec).names))


@pytest.mark.parametrize(
    ("seconds", "duration", "derived"),
    [
        (6.9, 100.0, []),
        (7.0, 100.0, ["effective_view"]),
        (18.0, 100.0, ["effective_view", "long_view"]),
        (5.0, 5.0, ["effective_view", "long_view"]),
        (6.0, 0.0, []),
    ],
)
def test_views_follow_from_the_seconds_watched(script, seconds, duration, derived):
    of = script.shown(1_000, duration=duration)
    script.watched(2_000, of, 1, seconds)
    script.tick(20_000)
    (row,) = samples(script.joined())
    assert list(happened(row)) == derived


def test_an_answer_is_a_sample_at_once_and_behaviour_one_at_the_end(script):
    of = script.shown(1_000)
    script.watched(2_000, of, 1, 4.0, "like")
    script.answered(9_000, of, 2, seconds=8.0, answer=Answer.DISSATISFIED, event_id="a")
    script.watched(9_100, of, 3, 1.0)
    script.tick(20_000)
    answer, behaviour = samples(script.joined())
    assert (answer["kind"], answer["input_offset"]) == ("answer", 2)
    assert answer["sealed_at_ms"] == 10_000
    assert answer["answer"] == [Answer.NONE, Answer.DISSATISFIED, Answer.NONE]
    assert answer["answer_time_ms"] == [0, 9_000, 0]
    assert answer["exposed"] == [True, True, False]
    assert answer["watched_seconds"] == [4.0, 8.0, 0.0]
    assert answer["event_ids"] == ["a"]
    assert behaviour["kind"] == "behaviour"
    assert behaviour["answer"] == [Answer.NONE] * 3
    assert behaviour["exposed"] == [True, False, True]


def test_an_answer_after_the_feedback_window_has_the_behaviour_of_before(script):
    of = script.shown(1_000)
    script.watched(2_000, of, 1, 7.5, "like")
    script.tick(20_000)
    script.watched(20_001, of, 2, 50.0)
    script.answered(20_002, of, 1)
    script.tick(30_000)
    joiner = script.joiner()
    behaviour, answer = samples(joiner.feed(script.rows()))
    assert (behaviour["kind"], answer["kind"]) == ("behaviour", "answer")
    assert answer["exposed"] == [True, False, False]
    assert answer["watched_seconds"] == [9.0, 0.0, 0.0]
    assert answer["item.tag"] == [1, 2, 3]
    assert joiner.counts["late behaviours"] == 1


@pytest.mark.parametrize("after_ms", [3_000, 30_000])
def test_an_answer_is_learnt_once(script, after_ms):
    of = script.shown(1_000)
    script.answered(2_000, of, 1, event_id="a")
    script.answered(after_ms, of, 1, event_id="a")
    script.answered(after_ms, of, 1, answer=Answer.DISSATISFIED, event_id="b")
    script.answered(after_ms, of, 2, event_id="c")
    script.tick(40_000)
    joiner = script.joiner()
    rows = samples(joiner.feed(script.rows()))
    assert [row["event_ids"] for row in rows] == [["a"], ["c"]]
    assert joiner.counts["duplicate answers"] == 2


def test_answers_that_cannot_be_are_counted_and_dropped(script):
    of = script.shown(1_000, asked=(1, 2))
    script.watched(2_000, of, 2, 3.0)
    script.answered(3_000, of, 3)
    script.answered(3_000, of, 1, seconds=6.9)
    script.answered(3_000, of, 2, seconds=None)
    script.answered(3_000, of, 77)
    script.add("answer", 3_000, "x", request_id="r", impression_offset=50, item_id=1, answer=1)
    script.add("answer", 3_000, "y", request_id="q", impression_offset=of, item_id=1, answer=1)
    joiner = script.joiner()
    joiner.feed(script.rows())
    assert joiner.counts == {
        "impressions": 1,
        "behaviours": 1,
        "answers that nobody asked for": 1,
        "answers before the trigger": 2,
        "answers to unknown requests": 3,
    }
    assert not joiner.sealer.rows


def test_behaviour_vouches_for_an_answer_that_says_nothing_itself(script):
    of = script.shown(1_000)
    script.watched(2_000, of, 2, 7.0)
    script.answered(3_000, of, 2, seconds=None)
    script.tick(5_000)
    (row,) = samples(script.joined())
    assert row["watched_seconds"] == [0.0, 7.0, 0.0]


def test_a_request_that_nobody_saw_teaches_nothing(script):
    script.shown(1_000)
    script.tick(20_000)
    joiner = script.joiner()
    assert joiner.feed(script.rows()) == []
    assert joiner.counts["requests nobody saw"] == 1


def test_windows_are_sealed_by_time_and_by_size(script, quick):
    of = script.shown(1_000, items=tuple(range(20)), asked=tuple(range(20)))
    for item, at_ms in enumerate([2_000, 2_500, 2_999, 3_000, 7_000, 7_001, 7_002, 7_003]):
        script.answered(at_ms, of, item)
    script.tick(8_500)
    windows = script.joined(quick.model_copy(update={"window_requests": 3}))
    assert [w.num_rows for w in windows] == [3, 1, 3, 1]
    assert [w.column("sealed_at_ms")[0].as_py() for w in windows] == [2_999, 4_000, 7_002, 8_003]
    assert [w.column("window").to_pylist() for w in windows] == [[0] * 3, [1], [2] * 3, [3]]
    assert windows[0].column("window_row").to_pylist() == [0, 1, 2]
    assert windows[0].column("window_rows").to_pylist() == [3, 3, 3]


def test_a_long_silence_makes_the_windows_that_a_clock_would_have_made(script):
    """Requests that close 2 s apart do not share a window because one event closed both."""
    for request, at_ms in (("a", 1_000), ("b", 3_000), ("c", 3_400)):
        script.watched(at_ms, script.shown(at_ms, request), 1, 1.0)
    script.tick(60_000)
    windows = script.joined()
    assert [w.column("request_id").to_pylist() for w in windows] == [["a"], ["b", "c"]]
    assert [w.column("sealed_at_ms")[0].as_py() for w in windows] == [12_000, 14_000]


def test_other_features_begin_another_window(script, spec):
    of = script.shown(1_000, "a")
    more = (*spec.categorical, Categorical(name="author", of="item", width=8, rows=16))
    script.spec = spec.model_copy(update={"categorical": more})
    other = script.shown(1_000, "b")
    script.answered(2_000, of, 1)
    script.answered(2_001, other, 1)
    script.tick(9_000)
    windows = script.joined()
    assert [w.column("request_id").to_pylist() for w in windows] == [["a"], ["b"]]
    assert "item.author" in windows[1].column_names


def test_several_partitions_seal_empty_windows_too(script):
    of = script.shown(1_000)
    script.answered(3_500, of, 1)
    script.tick(4_000)
    windows = script.joined(several=True)
    assert [w.column("sealed_at_ms")[0].as_py() for w in windows] == [2_000, 3_000, 4_000]
    assert [w.column("window_rows")[0].as_py() for w in windows] == [0, 0, 1]
    assert [w.column("kind")[0].as_py() for w in windows] == ["seal", "seal", "answer"]


def test_the_state_is_bounded_by_the_life_of_tokens(script, quick):
    for i in range(300):
        script.shown(i * 1_000, f"r{i}")
    joiner = script.joiner()
    joiner.feed(script.rows())
    assert joiner.requests.num_open == quick.feedback_seconds
    assert len(joiner.requests.of) == quick.token_seconds + 60
    kept = list(joiner.requests.of.values())
    assert sum(request.payload is not None for request in kept) == joiner.requests.num_open


def test_feedback_after_a_tokens_life_is_of_an_unknown_request(script):
    of = script.shown(1_000)
    script.tick(121_000)
    script.answered(121_001, of, 1)
    joiner = script.joiner()
    assert joiner.feed(script.rows()) == []
    assert joiner.counts["answers to unknown requests"] == 1


def test_a_request_is_kept_as_long_as_its_token(script):
    of = script.shown(1_000, expires_at_ms=1_000_000)
    script.answered(1_030_000, of, 1)
    script.tick(1_040_000)
    (answer,) = samples(script.joined())
    assert answer["answer"] == [Answer.SATISFIED, 0, 0]


def test_an_impression_that_cannot_be_read_is_dropped(script):
    script.add("impression", 1_000, "r", impression=b"nonsense")
    script.add("impression", 1_000, "r")
    of = script.shown(2_000)
    script.answered(3_000, of, 1)
    script.tick(9_000)
    joiner = script.joiner()
    assert len(samples(joiner.feed(script.rows()))) == 1
    assert joiner.counts["malformed impressions"] == 2
