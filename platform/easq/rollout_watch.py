"""What a version does while it bakes, from the impressions in topic `events`."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easq.announcements import Rollout
from easq.events import IMPRESSION
from easq.log.interface import EVENTS, Log
from easq.log.ipc import from_bytes
from easq.rollout import Observations

MOST_SCORES = 200_000
"""Of each version: enough for a mean and a spread."""


class Seen(NamedTuple):
    """Requests of one version."""

    requests: int
    bad: int
    scores: np.ndarray  # finite ones, [n]

    def __add__(self, other: "Seen") -> "Seen":  # pyright: ignore[reportIncompatibleMethodOverride]
        scores = np.concatenate([self.scores, other.scores])[-MOST_SCORES:]
        return Seen(self.requests + other.requests, self.bad + other.bad, scores)


NOTHING = Seen(0, 0, np.zeros(0))


class RolloutWatch:
    """Impressions of a stage's two versions, from the moment the watch begins."""

    def __init__(self, log: Log, stage: Rollout) -> None:
        self.log, self.stage = log, stage
        self.next = {p: log.end(EVENTS, p) for p in range(log.partitions(EVENTS))}
        self.new = self.before = NOTHING

    def look(self, seconds: float) -> Observations:
        """What has been seen until now, `seconds` after the stage began."""
        for partition, start in self.next.items():
            while (rows := self.log.read(EVENTS, partition, start)) is not None:
                start = int(rows.offsets[-1]) + 1
                self._add(rows.table)
            self.next[partition] = start
        return compared(self.new, self.before, seconds)

    def _add(self, events: pa.Table) -> None:
        ours = events.filter(pc.equal(events.column("kind"), IMPRESSION))
        for data in ours.column("impression").to_pylist():
            impression = from_bytes(data)
            version = impression.column("model_version")[0].as_py()
            if version == self.stage.version:
                self.new += seen_of(impression)
            elif version == self.stage.previous:
                self.before += seen_of(impression)


def seen_of(impression: pa.Table) -> Seen:
    """One request as it was ranked."""
    scores = impression.column("score").combine_chunks().flatten().to_numpy()
    finite = np.isfinite(scores)
    return Seen(1, int(not finite.all()), scores[finite].astype(np.float64))


def compared(new: Seen, before: Seen, seconds: float) -> Observations:
    """Drift is measured once both versions have ranked something, which the last wave ends."""
    shift = spread = None
    if len(new.scores) and len(before.scores) and (width := float(before.scores.std())) > 0:
        shift = float(new.scores.mean() - before.scores.mean()) / width
        spread = float(new.scores.std()) / width
    return Observations(seconds, new.requests, new.bad, shift, spread)
