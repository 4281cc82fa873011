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
IDENTITY = "identity"
"""One row, which says that this is not another log (easq.log.identity)."""
MAX_ROWS = 4096
MAX_BYTES = 64 << 20
"""A read stops at either; it always gives what stands next."""


class Rows(NamedTuple):
    """Rows that stand one after another in a partition, all of one schema."""

    offsets: np.ndarray  # int64 [n], strictly rising, holes are possible
    table: pa.Table  # [n]


class LogError(Exception):
    """The log did not do what was asked, and nothing of it (but see `LogAwayError`)."""


class LogAwayError(LogError):
    """The file is locked or no broker answers: the same may work later.

    A broker that fell silent may have taken the first rows of the append, or all of them.
    """


class LogFullError(LogError):
    """There is no room: nothing more is taken until there is."""


class TrimmedError(LogError):
    """The offset asked for has been trimmed away."""


class Log(Protocol):
    """Offsets of a partition rise strictly and may have holes. Every method may raise LogError."""

    def partitions(self, topic: str) -> int:
        """How many partitions the topic has: the same for every process."""
        ...

    def add_partitions(self, topic: str, total: int) -> None:
        """Have `total` partitions if there are fewer. `partition_of` then sends users elsewhere.

        Raises:
            ValueError: topic `models`, whose rows are one sequence.
        """
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
        """The next rows with start <= offset < end, about `max_rows` at most; None: none yet.

        Raises:
            TrimmedError: rows from `start` on have been trimmed away; `begin` is what is left.
        """
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


def check_growth(topic: str) -> None:
    """Refuse to split the one topic that is a sequence."""
    if topic == MODELS:
        raise ValueError(f"topic {MODELS!r} is one sequence: it has one partition, always")


def no_such(topic: str, partition: int, partitions: int) -> LogError:
    return LogError(
        f"{topic} has partitions 0 to {partitions - 1}; there is no {partition}: add_partitions"
    )
