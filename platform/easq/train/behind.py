"""Whether the loop keeps up: how long the oldest row of the log has waited for who takes it.

The log is the queue: nothing of it is shed, so whoever is slower than the stream falls behind,
and whoever operates the loop is told.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from easq.log.interface import EVENTS, SAMPLES, Log
from easq.train.durable import read_model, swap_file
from easq.train.position import newest_checkpoint, read_position

logger = logging.getLogger(__name__)

REACHED = "reached.json"
CALM = 0.5
"""Share of the limit below which an alarm ends: the lag swings with each window."""


class Reached(BaseModel):
    """Contents of reached.json: the furthest that any start of a run has learnt.

    A start after a failure learns again what replicas have had before: that is no news to them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    next_window: int = 0
    offsets: dict[int, int] = {}
    """Of each partition of topic `samples`: rows below have been learnt, or left out."""


class Taker(NamedTuple):
    """Who takes rows of a topic, and how far it is."""

    name: str
    topic: str
    time_column: str  # of its rows, Unix ms
    taken: Callable[[], Mapping[int, int]]  # by partition: rows below
    limit_seconds: float
    """Rows that have waited longer are an alarm."""


def training(line: str, folder: Path, limit_seconds: float) -> Taker:
    """The training of a model line, by what it leaves in the folder of its run."""

    def taken() -> Mapping[int, int]:
        return read_reached(folder).offsets

    return Taker(f"training of {line}", SAMPLES, "sealed_at_ms", taken, limit_seconds)


def joining(taken: Callable[[], Mapping[int, int]], limit_seconds: float) -> Taker:
    """The joiner."""
    return Taker("joining", EVENTS, "received_at_ms", taken, limit_seconds)


def seconds_behind(log: Log, taker: Taker, now_ms: int) -> float:
    """Age of the oldest row that waits; 0: none does. Raises LogError."""
    taken, oldest = taker.taken(), now_ms
    for partition in range(log.partitions(taker.topic)):
        start = max(taken.get(partition, 0), log.begin(taker.topic, partition))
        if (rows := log.read(taker.topic, partition, start, max_rows=1)) is not None:
            oldest = min(oldest, rows.table.column(taker.time_column)[0].as_py())
    return (now_ms - oldest) / 1000


def read_reached(folder: Path) -> Reached:
    """How far a run has come; by its newest checkpoint where an older release has trained it, or
    a power cut has damaged the file."""
    try:
        if (path := folder / REACHED).is_file():
            return read_model(path, Reached)
    except ValueError as error:
        logger.warning("%s", error)
    if not folder.is_dir() or (checkpoint := newest_checkpoint(folder)) is None:
        return Reached()
    position = read_position(checkpoint)
    return Reached(next_window=position.next_window, offsets=position.offsets)


def write_reached(folder: Path, reached: Reached) -> None:
    """Whole, but not forced to the disk: it only tells how new what is served is."""
    swap_file(folder / REACHED, reached.model_dump_json())


class Alarm:
    """Raised where somebody falls behind, and cleared when that is made up for."""

    def __init__(self, taker: Taker) -> None:
        self.taker = taker
        self.since: float | None = None  # None: not raised
        self.most_seconds = 0.0

    def look(self, behind_seconds: float, now: float) -> str | None:
        """What there is to tell: that it was raised, or cleared.

        Args:
            now: of any clock, in seconds.
        """
        self.most_seconds = max(self.most_seconds, behind_seconds)
        if self.since is None and behind_seconds > self.taker.limit_seconds:
            self.since, self.most_seconds = now - behind_seconds, behind_seconds
            return told_behind(self.taker, behind_seconds)
        if self.since is not None and behind_seconds <= CALM * self.taker.limit_seconds:
            lasted, self.since = now - self.since, None
            return (
                f"{self.taker.name} has caught up: it was behind for {lasted:.0f} s, by "
                f"{self.most_seconds:.0f} s at most"
            )
        return None


def told_behind(taker: Taker, behind_seconds: float) -> str:
    """The alarm's sentence."""
    return (
        f"{taker.name} is {behind_seconds:.0f} s behind, where {taker.limit_seconds:g} s are "
        f"wanted (stream.fresh_seconds): nothing is lost, what waits is kept in topic {taker.topic}"
    )
