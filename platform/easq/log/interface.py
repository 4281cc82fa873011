"""The log between the processes: topics of partitions of rows, each row at an offset.

Two engines keep the same promises (tests/easq/log): `easq.log.sqlite` for one machine,
`easq.log.kafka` for several. Rows are Arrow; a topic's schema is its writers' affair.
"""

from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

EVENTS, SAMPLES, MODELS = "events", "samples", "models"
REJECTED = "rejected"
"""Events that were refused; for people, no process reads it."""
MAX_ROWS = 4096


class Rows(NamedTuple):
    """Rows that stand one after another in a partition, all of one schema."""

    offsets: np.ndarray  # int64 [n], strictly rising, holes are possible
    table: pa.Table  # [n]


class LogError(Exception):
    """The log did not do what was asked, and nothing of it."""


class LogAwayError(LogError):
    """The file is locked or no broker answers: the same may work later."""


class LogFullError(LogError):
    """There is no room: nothing more is taken until there is."""


class TrimmedError(LogError):
    """The offset asked for has been trimmed away."""


class Log(Protocol):
    """Offsets of a partition rise strictly and may have holes. Every method may raise LogError."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        ...

    def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool = True
    ) -> np.ndarray:
        """Add rows in order; returns their offsets, int64 [n].

        `durable`: they outlive a power cut once this returns; otherwise, the death of processes.
        """
        ...

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int | None = None,
        max_rows: int = MAX_ROWS,
    ) -> Rows | None:
        """The next rows with start <= offset < end, about `max_rows` at most; None: none yet."""
        ...

    def begin(self, topic: str, partition: int) -> int:
        """The oldest offset that is still kept; the end of an empty partition."""
        ...

    def end(self, topic: str, partition: int) -> int:
        """The high watermark: every row that can be read has a lower offset."""
        ...

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Forget rows below an offset; an engine may keep some of them longer."""
        ...

    def close(self) -> None: ...
