"""A partition of the log, joined: reads `events`, writes `samples`, goes on where it stopped."""

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import EVENT, TICK
from easq.join import JoinConfig, Joiner
from easq.log.interface import EVENTS, REJECTED, SAMPLES, Log, TrimmedError
from easq.samples import EVERY_SAMPLE, SEALED
from easq.sealed import places
from easq.sealing import Written

TAIL = pa.schema(
    [
        field
        for field in (*EVERY_SAMPLE, *SEALED)
        if field.name in {*Written._fields, "window_row", "window_rows"}
    ]
)
"""Columns that tell how far a writer came."""


class Tail(NamedTuple):
    """What the end of a partition of `samples` says about its writer."""

    written: Written | None  # the last window that is whole; None: there is none
    part: pa.Table  # rows of the window after it, [0 or more]


class JoinedPartition:
    """The one writer of a partition of `samples`.

    Raises:
        TrimmedError: `events` no longer has what the state is made of.
        ValueError: the settings are not those that `samples` was written with.
    """

    def __init__(self, log: Log, partition: int, config: JoinConfig) -> None:
        self.log, self.partition = log, partition
        tail = read_tail(log, partition)
        self._part = tail.part
        self._samples_kept_from = 0
        self.several = log.partitions(EVENTS) > 1
        impression_at = partial(read_impression, log, partition)
        self.joiner = Joiner(config, impression_at, self.several, tail.written)
        begin = log.begin(EVENTS, partition)
        self.next = begin if tail.written is None else tail.written.resume_offset
        self.kept_from = self.next
        self.newest_rows_ms = 0 if tail.written is None else tail.written.sealed_at_ms
        """When the newest window with rows was sealed, in event time."""

    def step(self) -> int:
        """Join what is new, some of it if it is much; returns the number of events."""
        rows = self.log.read(EVENTS, self.partition, self.next)
        if rows is None:
            return 0
        for window in self.joiner.feed(rows):
            self._write(window)
        self.next = int(rows.offsets[-1]) + 1
        return len(rows.offsets)

    def due_ms(self, others_wait: bool) -> float:
        """When, in event time, an idle partition needs a tick; inf: never.

        Args:
            others_wait: readers need a window of this partition to go on with others'.
        """
        if not others_wait:
            return self.joiner.due_ms
        return self.joiner.sealer.deadline(self.next) if self.joiner.watermark_ms else 0

    def tick(self, now_ms: int) -> None:
        """Say in the log what time it is."""
        fields = {"kind": TICK, "event_id": "", "user_id": 0, "received_at_ms": now_ms}
        tick = pa.Table.from_pylist([fields], schema=EVENT)
        self.log.append(EVENTS, self.partition, tick, durable=False)

    def trim(self, before_ms: int, samples_needed_from: float = math.inf) -> None:
        """Forget what is older, but nothing that a restart or a reader of `samples` needs.

        May be called from another thread than `step`.
        """
        events = first_at(self.log, EVENTS, self.partition, "received_at_ms", before_ms)
        self.log.trim(EVENTS, self.partition, min(events, self.kept_from))
        samples = first_at(self.log, SAMPLES, self.partition, "sealed_at_ms", before_ms)
        needed = min(self._samples_kept_from, samples_needed_from)
        self.log.trim(SAMPLES, self.partition, int(min(samples, needed)))
        if self.partition == 0:  # where all that is refused goes
            self.log.trim(REJECTED, 0, first_at(self.log, REJECTED, 0, "received_at_ms", before_ms))

    def _write(self, window: pa.Table) -> None:
        n = self._part.num_rows
        if not window.slice(0, n).select(TAIL.names).cast(TAIL).equals(self._part):
            raise ValueError(
                f"partition {self.partition} has a window half written that its events do not "
                "make. Join with the settings that it was joined with, or into a new log."
            )
        offsets = self.log.append(SAMPLES, self.partition, window.slice(n))
        self._part = TAIL.empty_table()
        self._samples_kept_from = int(offsets[0]) - n
        last = Written.of(window)
        self.kept_from = last.resume_offset
        if window.column("window_rows")[0].as_py():
            self.newest_rows_ms = last.sealed_at_ms


def read_impression(log: Log, partition: int, offset: int) -> bytes | None:
    """The impression at an offset; None: it has been trimmed away."""
    try:
        rows = log.read(EVENTS, partition, offset, offset + 1, 1)
    except TrimmedError:
        return None
    return None if rows is None else rows.table.column("impression")[0].as_py()


def read_tail(log: Log, partition: int) -> Tail:
    """Look back from the end of `samples` until the end of a window is found."""
    begin, end = log.begin(SAMPLES, partition), log.end(SAMPLES, partition)
    back = 1
    while True:
        start = max(begin, end - back)
        tail = _tail([TAIL.empty_table(), *_rows(log, partition, start, end)])
        if tail.written is not None or start == begin:
            return tail
        back *= 4


def _rows(log: Log, partition: int, start: int, end: int) -> Iterator[pa.Table]:
    while (rows := log.read(SAMPLES, partition, start, end)) is not None:
        yield rows.table.select(TAIL.names).cast(TAIL)
        start = int(rows.offsets[-1]) + 1


def _tail(tables: list[pa.Table]) -> Tail:
    table = pa.concat_tables(tables)
    place = places(table)
    # Two writers may have left rows twice: the last one is not always the furthest.
    table = table.take(np.unique(place, return_index=True)[1])
    row, rows = (table.column(name).to_numpy() for name in ("window_row", "window_rows"))
    ends = np.flatnonzero(row + 1 >= rows)
    if not len(ends):
        return Tail(None, table)
    return Tail(Written.of(table.slice(0, ends[-1] + 1)), table.slice(ends[-1] + 1))


def first_at(log: Log, topic: str, partition: int, column: str, time_ms: int) -> int:
    """The first offset whose time is not before `time_ms`, by bisection."""
    low, high = log.begin(topic, partition), log.end(topic, partition)
    while low < high:
        middle = (low + high) // 2
        rows = log.read(topic, partition, middle, high, 1)
        if rows is None or rows.table.column(column)[0].as_py() >= time_ms:
            high = middle
        else:
            low = int(rows.offsets[0]) + 1
    return low
