"""Appending to Kafka: one idempotent producer, one message a row, acknowledged by all replicas."""

import threading
from collections.abc import Sequence
from functools import partial
from time import monotonic

import numpy as np
from confluent_kafka import KafkaError, Message, Producer

from easq.log.interface import LogAwayError, LogError, LogFullError
from easq.log.kafka_address import Settings
from easq.log.kafka_errors import in_our_words, told

POLL_SECONDS = 0.5
ENVELOPE_BYTES = 512  # of a message beside its value


class Writer:
    """Threads share it; what is acknowledged is told to them by a thread of its own."""

    def __init__(self, settings: Settings, away_seconds: float) -> None:
        with told("opening a producer"):
            self._producer = Producer(settings)
        self.away_seconds, self.broken = away_seconds, False
        self._max_bytes = int(settings["message.max.bytes"])
        self._closed = threading.Event()
        threading.Thread(target=self._tell, name="log-writer", daemon=True).start()

    def append(self, topic: str, partition: int, values: Sequence[bytes]) -> np.ndarray:
        """Offsets, int64 [n]. Where it fails, a prefix of the rows may be there.

        A writer that failed is `broken`: what it still had is thrown away, and it must be too.
        """
        self._check_size(topic, values)
        delivery = _Delivery(len(values))
        deadline = monotonic() + self.away_seconds
        try:
            for i, value in enumerate(values):
                report = partial(delivery.report, i)
                self._produce(topic, partition, value, report, deadline)
            return delivery.wait(f"appending to {topic}[{partition}]", deadline - monotonic())
        except LogError:
            self._give_up()
            raise

    def close(self) -> None:
        self._closed.set()

    def _check_size(self, topic: str, values: Sequence[bytes]) -> None:
        largest = max(map(len, values))
        if largest > self._max_bytes - ENVELOPE_BYTES:
            raise LogError(
                f"a row of {largest} bytes is too large for {topic}: message.max.bytes is "
                f"{self._max_bytes}; raise it at the client, the topic and the brokers"
            )

    def _produce(
        self, topic: str, partition: int, value: bytes, report: partial, deadline: float
    ) -> None:
        while True:
            try:
                with told(f"appending to {topic}[{partition}]"):
                    self._producer.produce(topic, value, partition=partition, on_delivery=report)
                return
            except BufferError as error:  # other rows wait: for room, we wait too
                if monotonic() > deadline:
                    raise LogFullError(
                        f"appending to {topic}[{partition}]: {len(self._producer)} rows wait "
                        "already; bring the brokers back or append less"
                    ) from error
                self._producer.poll(0.01)

    def _give_up(self) -> None:
        """Nothing of this append may arrive later, after rows that its caller writes then."""
        self.broken = True
        self._producer.purge()
        self.close()

    def _tell(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(POLL_SECONDS)


class _Delivery:
    """The rows of one append on their way."""

    def __init__(self, rows: int) -> None:
        self._offsets = np.full(rows, -1, np.int64)
        self._left = rows
        self._error: KafkaError | None = None
        self._over = threading.Event()

    def report(self, i: int, error: KafkaError | None, message: Message) -> None:
        self._left -= 1
        if error is not None:
            self._error = self._error or error
        elif (offset := message.offset()) is not None:
            self._offsets[i] = offset
        if self._left == 0 or self._error is not None:
            self._over.set()

    def wait(self, what: str, seconds: float) -> np.ndarray:
        if not self._over.wait(max(0.0, seconds)):
            raise LogAwayError(f"{what}: the brokers did not take all rows in time")
        if self._error is not None:
            raise in_our_words(self._error, what)
        return self._offsets
