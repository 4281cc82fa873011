"""All appends of a replica, in one thread: the event loop never waits for a disk or a broker."""

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.log.interface import Log, LogAwayError


class Waiting(NamedTuple):
    topic: str
    partition: int
    durable: bool
    rows: pa.Table
    offsets: "Future[np.ndarray]"

    @property
    def place(self) -> tuple[bool, str, int]:
        """Impressions do not wait for the disk, so they go before what does."""
        return self.durable, self.topic, self.partition


class LogWriter:
    """Whatever waits for a partition goes in one append (group commit).

    An append that has taken longer than `stuck_seconds` counts as a log that is away: until
    it ends, others are refused at once instead of waiting behind it.
    """

    def __init__(self, log: Log, stuck_seconds: float = 1.0, room: int = 1024) -> None:
        self.log, self.stuck_seconds = log, stuck_seconds
        self._queue: queue.Queue[Waiting | None] = queue.Queue(room)
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    async def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool, patience_seconds: float
    ) -> np.ndarray:
        """Offsets of the rows, int64 [n]. Raises LogError.

        Rows that were given up after `patience_seconds` may still be appended later.
        """
        future = asyncio.wrap_future(self.submit(topic, partition, rows, durable))
        try:
            return await asyncio.wait_for(future, patience_seconds)
        except TimeoutError:
            raise _silent(patience_seconds) from None

    def submit(
        self, topic: str, partition: int, rows: pa.Table, durable: bool
    ) -> "Future[np.ndarray]":
        """Queue an append. Raises LogAwayError when too much waits already."""
        self._check_answering()
        waiting = Waiting(topic, partition, durable, rows, Future())
        try:
            self._queue.put_nowait(waiting)
        except queue.Full:
            raise LogAwayError(f"{self._queue.maxsize} appends wait for the log already") from None
        return waiting.offsets

    def close(self) -> None:
        """Append what waits, then end."""
        self._queue.put(None)
        self._thread.join()

    def _check_answering(self) -> None:
        since = self._busy_since
        if since is not None and (taken := time.monotonic() - since) > self.stuck_seconds:
            raise _silent(taken)

    def _run(self) -> None:
        is_open = True
        while is_open:
            came = [self._queue.get(), *self._at_hand()]
            is_open = None not in came
            waiting = sorted((w for w in came if w is not None), key=lambda w: w.place)
            for _, group in groupby(waiting, key=lambda w: w.place):
                self._append([w for w in group if w.offsets.set_running_or_notify_cancel()])
        self.log.close()

    def _at_hand(self) -> Iterator[Waiting | None]:
        while True:
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return

    def _append(self, group: list[Waiting]) -> None:
        if not group:
            return
        durable, topic, partition = group[0].place
        self._busy_since = time.monotonic()
        try:
            rows = pa.concat_tables([w.rows for w in group])
            offsets = self.log.append(topic, partition, rows, durable)
        except Exception as error:  # noqa: BLE001  whoever waits is told; the thread lives on
            for waiting in group:
                waiting.offsets.set_exception(error)
        else:
            ends = np.cumsum([w.rows.num_rows for w in group])[:-1]
            for waiting, own in zip(group, np.split(offsets, ends), strict=True):
                waiting.offsets.set_result(own)
        finally:
            self._busy_since = None


def _silent(seconds: float) -> LogAwayError:
    return LogAwayError(f"the log has not answered for {seconds:.1f} s")
