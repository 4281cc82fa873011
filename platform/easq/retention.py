"""How long topic `models` keeps what it was told: as long as a replica may need it.

A replica begins at a full version and needs the deltas after it. Versions are made of
checkpoints; one that waits for the gate is older than the oldest checkpoint that is kept, so
that the last hour is kept too. A replica that comes to a gap serves its full version, and goes
on with the next one.
"""

from typing import NamedTuple

from easq.announcements import DELTA, DeltaHead
from easq.delta import read_head
from easq.log.interface import MODELS, Log
from easq.rollout_log import keep_newest

KEPT_MS = 3_600_000


def forget_deltas(log: Log, run: str, window: int, now_ms: int) -> int:
    """Trim what is older than an hour and leads to a window at most; returns where it begins.

    The rollout that holds is never lost: it is announced again first.

    Args:
        window: `next_window` of the oldest checkpoint that is kept.
    """
    before = _first_needed(log, run, window, now_ms - KEPT_MS)
    if before > log.begin(MODELS, 0):
        keep_newest(log, before)
        log.trim(MODELS, 0, before)
    return before


def _first_needed(log: Log, run: str, window: int, since_ms: int) -> int:
    """By bisection, as deltas are large.

    A start after a failure announces lower windows again. Whichever beginning is found, all
    deltas after it are kept, and those of the newest start lead on from the window.
    """
    low, high = log.begin(MODELS, 0), log.end(MODELS, 0)
    while low < high:
        middle = (low + high) // 2
        delta = _next_delta(log, middle, high)
        if delta is None or delta.made_at_ms >= since_ms or _leads_on(delta.head, run, window):
            high = middle
        else:
            low = delta.seq + 1
    return low


class _Made(NamedTuple):
    seq: int
    made_at_ms: int
    head: DeltaHead


def _next_delta(log: Log, start: int, end: int) -> _Made | None:
    """Rollouts, and what cannot be read, say nothing of what is needed."""
    while (rows := log.read(MODELS, 0, start, end, 1)) is not None:
        seq, row = int(rows.offsets[0]), rows.table.slice(0, 1).drop(["payload"]).to_pylist()[0]
        if row["kind"] == DELTA and (head := _head(row["body"])) is not None:
            return _Made(seq, row["made_at_ms"], head)
        start = seq + 1
    return None


def _head(body: str) -> DeltaHead | None:
    try:
        return read_head(body)
    except ValueError:
        return None


def _leads_on(head: DeltaHead, run: str, window: int) -> bool:
    return head.run == run and head.window > window
