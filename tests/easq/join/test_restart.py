"""A joiner that starts again writes what it would have written without the stop."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from easq.join import JoinConfig
from easq.sealing import Written


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_a_restart_after_any_window_changes_nothing(
    spec, random_events: Callable, quick: JoinConfig, seed: int, several: bool
):
    config = quick.model_copy(update={"window_requests": 5, "feedback_seconds": 2.0})
    script = random_events(spec, seed, 250)
    windows = script.joined(config, several)
    assert len(windows) > 15
    with_rows = [k for k, w in enumerate(windows) if w.column("window_rows")[0].as_py()]
    for k in sorted({*with_rows, *range(0, len(windows), 7)}):
        last = Written.of(windows[k])
        again = script.joiner(config, several, last).feed(script.rows(last.resume_offset))
        assert same(again, windows[k + 1 :])


def test_requests_of_one_name_that_close_at_one_event_stay_apart(script, quick):
    first, second = (script.shown(at_ms, "named by the client") for at_ms in (1000, 1500))
    script.watched(2000, first, 1, 5.0)
    script.watched(2000, second, 2, 5.0)
    script.tick(60_000)
    (window,) = script.joined(quick)
    assert window.num_rows == 2
    last = Written.of(window)
    assert script.joiner(quick, written=last).feed(script.rows(last.resume_offset)) == []


def test_events_fed_one_by_one_make_the_same_windows(spec, random_events, quick):
    script = random_events(spec, 7, 200)
    joiner = script.joiner(quick)
    one_by_one = [w for i in range(200) for w in joiner.feed(script.rows(i, i + 1))]
    assert same(one_by_one, script.joined(quick))


def test_other_settings_than_those_written_with_are_refused(spec, random_events, quick):
    script = random_events(spec, 0, 200)
    closed = [w for w in script.joined(quick) if w.column("kind")[-1].as_py() == "behaviour"]
    last = Written.of(closed[0])
    other = quick.model_copy(update={"feedback_seconds": 3.0})
    with pytest.raises(ValueError, match="with the settings that it was joined with"):
        script.joiner(other, written=last).feed(script.rows(last.resume_offset))


def same(some: list[pa.Table], others: list[pa.Table]) -> bool:
    return len(some) == len(others) and all(a.equals(b) for a, b in zip(some, others, strict=True))
