"""A joiner that starts again writes what it would have written without the stop."""

from collections.abc import Callable

import pyarrow as pa
import pytest

from easq.join import JoinConfig
from easq.sealing import Written


def written_at(script, config: JoinConfig, several: bool) -> list[tuple[int, pa.Table]]:
    """All windows, with the number of events after which each was there."""
    joiner, found = script.joiner(config, several), []
    for i in range(len(script.events)):
        found += [(i + 1, window) for window in joiner.feed(script.rows(i, i + 1))]
    return found


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_restart_after_any_window_changes_nothing(
    spec, random_events: Callable, quick: JoinConfig, seed: int, several: bool
):
    config = quick.model_copy(update={"window_requests": 5, "feedback_seconds": 2.0})
    script = random_events(spec, seed, 400)
    windows = [window for _, window in written_at(script, config, several)]
    assert len(windows) > 20
    for k, window in enumerate(windows):
        last = Written.of(window)
        again = script.joiner(config, several, last)
        rest = again.feed(script.rows(last.resume_offset))
        assert [w.num_rows for w in rest] == [w.num_rows for w in windows[k + 1 :]]
        assert all(w.equals(v) for w, v in zip(rest, windows[k + 1 :], strict=True))
