"""A place in a partition of Kafka, and what has come of the rows from there on."""

from collections import deque
from collections.abc import Iterator
from time import monotonic

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from easq.log.interface import MAX_BYTES, LogAwayError
from easq.log.ipc import schema_bytes
from easq.log.kafka_address import Settings
from easq.log.kafka_errors import AWAY, in_our_words, told

NOWHERE = -1


class Cursor:
    """One consumer with one partition assigned. It is used by one thread at a time."""

    def __init__(self, settings: Settings, topic: str, partition: int, name: str) -> None:
        """`name`: what the cluster calls the topic."""
        self.topic, self.partition, self._name = topic, partition, name
        self.position = self._end_met = NOWHERE
        self._came: deque[Message] = deque()
        with told("opening a consumer"):
            self._consumer = Consumer(settings)

    def move(self, start: int) -> None:
        self._came.clear()
        with told(f"reading {self.topic}[{self.partition}]"):
            self._consumer.assign([TopicPartition(self._name, self.partition, start)])
        self.position, self._end_met = start, NOWHERE

    def take(self, end: int, max_rows: int) -> list[Message]:
        """Rows of one schema that have come already; does not wait."""
        self._fetch(max_rows - len(self._came), 0.0)
        return list(self._together(end, max_rows))

    def wait(self, high: int, seconds: float) -> bool:
        """Wait for a row below the high watermark; False: there are only holes up to there.

        Raises:
            LogAwayError: nothing has come in time.
        """
        deadline = monotonic() + seconds
        while not self._came and self._end_met < high:
            left = deadline - monotonic()
            if left <= 0:
                raise LogAwayError(
                    f"reading {self.topic}[{self.partition}]: nothing came in {seconds:g} s, "
                    f"though there are rows up to {high}"
                )
            self._fetch(1, left)
        return bool(self._came)

    def close(self) -> None:
        self._consumer.close()

    def _fetch(self, rows: int, seconds: float) -> None:
        """Keep what comes, and how far the partition goes."""
        if rows <= 0:
            return
        for message in self._consumer.consume(rows, seconds):
            error = message.error()
            if error is None:
                self._came.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._end_met = message.offset() or 0
            elif error.code() not in AWAY:
                self.position = NOWHERE
                raise in_our_words(error, f"reading {self.topic}[{self.partition}]")

    def _together(self, end: int, max_rows: int) -> Iterator[Message]:
        rows = size = 0
        schema = None
        while self._came and rows < max_rows and size < MAX_BYTES:
            message = self._came[0]
            offset, value = message.offset() or 0, message.value() or b""
            schema = schema or schema_bytes(value)
            if offset >= end or not value.startswith(schema):
                return
            self.position, rows, size = offset + 1, rows + 1, size + len(value)
            yield self._came.popleft()
