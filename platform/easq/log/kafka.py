"""The log on Kafka, for more than one machine (design: the log).

One message holds one row (Arrow IPC). Offsets belong to readers: no groups, no commits. Rows
outlive a power cut as far as the cluster is set so (replication, min.insync.replicas): `durable`
makes no difference here.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from easq.log.interface import MAX_ROWS, LogError, Rows, TrimmedError, check_growth
from easq.log.ipc import from_many, to_bytes
from easq.log.kafka_address import KafkaAddress, client_settings
from easq.log.kafka_cursor import NOWHERE, Cursor
from easq.log.kafka_errors import told
from easq.log.kafka_topics import Topics
from easq.log.kafka_writer import Writer

CURSORS = 2
"""For each partition: one that follows the tail, one for looking something up."""
FOREVER = 1 << 62
_inherited: list[object] = []


class KafkaLog:
    """A cluster's topics `prefix.topic`. Threads share it; pickled, it is its address."""

    def __init__(self, address: KafkaAddress) -> None:
        self.address, self.away_seconds = address, address.away_seconds
        self._settings = client_settings(address)
        self._open()

    def __reduce__(self) -> tuple[type["KafkaLog"], tuple[KafkaAddress]]:
        return KafkaLog, (self.address,)

    def partitions(self, topic: str) -> int:
        with self._here():
            return self._topics.partitions(topic)

    def add_partitions(self, topic: str, total: int) -> None:
        check_growth(topic)
        with self._here():
            self._topics.grow(topic, total)

    def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool = True
    ) -> np.ndarray:
        if not rows.num_rows:
            return np.zeros(0, np.int64)
        rows = rows.combine_chunks()
        values = [to_bytes(rows.slice(i, 1)) for i in range(rows.num_rows)]
        with self._here():
            self._topics.check(topic, partition)
            return self._writer_now().append(self._topics.name(topic), partition, values)

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int | None = None,
        max_rows: int = MAX_ROWS,
    ) -> Rows | None:
        with self._here():
            self._topics.check(topic, partition)
            with self._cursor(topic, partition, start) as cursor:
                found = self._next(cursor, start, FOREVER if end is None else end, max_rows)
        return _rows(found, topic) if found else None

    def begin(self, topic: str, partition: int) -> int:
        with self._here():
            return self._topics.bounds(topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        with self._here():
            return self._topics.bounds(topic, partition)[1]

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Needs the right to delete records. The topics' own retention goes on beside it."""
        with self._here():
            self._topics.trim(topic, partition, before)

    def close(self) -> None:
        """Close what is open; another use opens it again."""
        with self._lock:
            writer, cursors, self._writer, self._cursors = self._writer, self._cursors, None, {}
        if writer is not None:
            writer.close()
        for cursor in chain.from_iterable(cursors.values()):
            cursor.close()

    def _open(self) -> None:
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._topics = Topics(self.address, self._settings)
        self._cursors: dict[tuple[str, int], list[Cursor]] = {}
        self._writer: Writer | None = None

    @contextmanager
    def _here(self) -> Iterator[None]:
        """Clients do not outlive a fork: the child opens its own and leaves the parent's alone."""
        if self._pid != os.getpid():
            _inherited.append((self._topics, self._cursors, self._writer))
            self._open()
        with told("the log"):
            yield

    def _writer_now(self) -> Writer:
        with self._lock:
            if self._writer is None or self._writer.broken:
                settings = self._settings.producers(self.address)
                self._writer = Writer(settings, self.away_seconds)
            return self._writer

    def _next(self, cursor: Cursor, start: int, end: int, max_rows: int) -> list[Message]:
        """What has come already, or what the high watermark says is there."""
        found = cursor.take(end, max_rows) if cursor.position == start else []
        if found:
            return found
        low, high = self._topics.bounds(cursor.topic, cursor.partition)
        if start < low:
            raise TrimmedError(
                f"{cursor.topic}[{cursor.partition}] begins at {low}; {start} is trimmed"
            )
        if start >= min(high, end):
            return []
        if cursor.position != start:
            cursor.move(start)
        return cursor.take(end, max_rows) if cursor.wait(high, self.away_seconds) else []

    @contextmanager
    def _cursor(self, topic: str, partition: int, start: int) -> Iterator[Cursor]:
        """The cursor that stands at `start`, or another one that nobody uses."""
        with self._lock:
            idle = self._cursors.setdefault((topic, partition), [])
            cursor = _best(idle, start)
        if cursor is None:
            name = self._topics.name(topic)
            cursor = Cursor(self._settings.consumers(self.address), topic, partition, name)
        try:
            yield cursor
        finally:
            with self._lock:
                idle.append(cursor)
                surplus = idle.pop(0) if len(idle) > CURSORS else None
            if surplus is not None:
                surplus.close()


def _best(idle: list[Cursor], start: int) -> Cursor | None:
    """Taken out of `idle`, which is in order of last use."""
    fitting = [c for c in idle if c.position == start] or [c for c in idle if c.position == NOWHERE]
    fitting = fitting or idle[: len(idle) // CURSORS]
    if not fitting:
        return None
    idle.remove(fitting[0])
    return fitting[0]


def _rows(messages: list[Message], topic: str) -> Rows:
    offsets = np.fromiter((message.offset() for message in messages), np.int64, len(messages))
    try:
        return Rows(offsets, from_many([message.value() or b"" for message in messages]))
    except pa.ArrowInvalid as error:
        raise LogError(
            f"offsets {offsets[0]} to {offsets[-1]} of {topic} hold no row of this log: {error}; "
            "nothing else may write to its topics"
        ) from error
