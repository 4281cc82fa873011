"""What a version does while it bakes: impressions of it, and what the replicas tell of it."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.announcements import Rollout
from easq.events import IMPRESSION
from easq.impression import MODEL_NAME
from easq.log.interface import EVENTS, Log
from easq.log.ipc import from_bytes
from easq.rollout import Observations
from easq.vitals import Vitals, VitalsTail, latency_ratio


class Seen(NamedTuple):
    """Requests of one version, and moments of their finite scores."""

    requests: int = 0
    bad: int = 0
    scores: int = 0
    total: float = 0.0
    squares: float = 0.0

    def and_also(self, other: "Seen") -> "Seen":
        return Seen(
            self.requests + other.requests,
            self.bad + other.bad,
            self.scores + other.scores,
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def mean(self) -> float:
        return self.total / self.scores

    @property
    def spread(self) -> float:
        return max(self.squares / self.scores - self.mean**2, 0.0) ** 0.5


class RolloutWatch:
    """Impressions of a stage's two versions, from the moment the watch begins.

    Versions are those of one line, `model_name`; other lines have versions of the same numbers.
    Requests that failed have no impression: the replicas tell of them, and of the time it takes.
    """

    def __init__(self, log: Log, model_name: str, stage: Rollout) -> None:
        self.log, self.model_name, self.stage = log, model_name, stage
        self.next = {p: log.end(EVENTS, p) for p in range(log.partitions(EVENTS))}
        self.new = self.before = Seen()
        self.vitals = VitalsTail(log)

    def look(self, seconds: float) -> Observations:
        """What has been seen until now, `seconds` after the stage began."""
        for partition, start in self.next.items():
            while (rows := self.log.read(EVENTS, partition, start)) is not None:
                start = int(rows.offsets[-1]) + 1
                self._add(rows.table)
            self.next[partition] = start
        self.vitals.look()
        return with_vitals(
            compared(self.new, self.before, seconds),
            self._vitals_of(self.stage.version),
            self._vitals_of(self.stage.previous),
        )

    def _vitals_of(self, version: int | None) -> list[Vitals]:
        return [] if version is None else self.vitals.of(version, self.stage.ranks_below)

    def _add(self, events: pa.Table) -> None:
        shown = events.filter(pa.array(events.column("kind").to_numpy() == IMPRESSION))
        for data in shown.column("impression").to_pylist():
            impression = from_bytes(data)
            if self._is_of_another_line(impression):
                continue
            version = impression.column("model_version")[0].as_py()
            if version == self.stage.version:
                self.new = self.new.and_also(seen_of(impression))
            elif version == self.stage.previous:
                self.before = self.before.and_also(seen_of(impression))

    def _is_of_another_line(self, impression: pa.Table) -> bool:
        """A replica of an older release names no line; it counts, lest its canary pass unseen."""
        if MODEL_NAME.name not in impression.column_names:
            return False
        return impression.column(MODEL_NAME.name)[0].as_py() != self.model_name


def seen_of(impression: pa.Table) -> Seen:
    """One request as it was ranked."""
    scores = impression.column("score").combine_chunks().flatten().to_numpy()
    good = scores[np.isfinite(scores)].astype(np.float64)
    bad = int(len(good) < len(scores))
    return Seen(1, bad, len(good), float(good.sum()), float(good @ good))


def compared(new: Seen, before: Seen, seconds: float) -> Observations:
    """Drift is measured where both versions have ranked something, as they do while they share."""
    shift = spread = None
    if new.scores and before.scores and before.spread > 0:
        shift = (new.mean - before.mean) / before.spread
        spread = new.spread / before.spread
    return Observations(seconds, new.requests, new.bad, shift, spread)


def with_vitals(seen: Observations, new: list[Vitals], before: list[Vitals]) -> Observations:
    """Requests that failed count as requests, and as bad."""
    failed = sum(v.failed for v in new)
    return seen._replace(
        requests=seen.requests + failed,
        bad=seen.bad + failed,
        latency_ratio=latency_ratio(new, before),
    )
