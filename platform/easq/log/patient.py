"""A log that waits while its engine is away or full."""

import logging
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pyarrow as pa

from easq.log.interface import MAX_ROWS, Log, LogAwayError, LogFullError, Rows

FIRST_SECONDS, LONGEST_SECONDS = 0.05, 2.0
T = TypeVar("T")
logger = logging.getLogger(__name__)


class PatientLog:
    """Does again what LogAwayError or LogFullError prevented, until it works or nobody waits.

    A row may then be in the log twice, if the engine had it and could not say so: for writers
    whose readers know rows that they have met.

    Args:
        stopped: waits so many seconds, and says whether to give up (threading.Event.wait).
    """

    def __init__(self, log: Log, stopped: Callable[[float], bool]) -> None:
        self.log, self.stopped = log, stopped

    def partitions(self, topic: str) -> int:
        return self._wait_for(lambda: self.log.partitions(topic))

    def add_partitions(self, topic: str, total: int) -> None:
        self._wait_for(lambda: self.log.add_partitions(topic, total))

    def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool = True
    ) -> np.ndarray:
        return self._wait_for(lambda: self.log.append(topic, partition, rows, durable))

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int | None = None,
        max_rows: int = MAX_ROWS,
    ) -> Rows | None:
        return self._wait_for(lambda: self.log.read(topic, partition, start, end, max_rows))

    def begin(self, topic: str, partition: int) -> int:
        return self._wait_for(lambda: self.log.begin(topic, partition))

    def end(self, topic: str, partition: int) -> int:
        return self._wait_for(lambda: self.log.end(topic, partition))

    def trim(self, topic: str, partition: int, before: int) -> None:
        self._wait_for(lambda: self.log.trim(topic, partition, before))

    def close(self) -> None:
        self.log.close()

    def _wait_for(self, call: Callable[[], T]) -> T:
        seconds = FIRST_SECONDS
        while True:
            try:
                result = call()
            except (LogAwayError, LogFullError) as error:
                if seconds == FIRST_SECONDS:
                    logger.warning("%s; trying again until it works", error)
                if self.stopped(seconds):
                    raise
                seconds = min(2 * seconds, LONGEST_SECONDS)
            else:
                if seconds != FIRST_SECONDS:
                    logger.warning("the log is back")
                return result
