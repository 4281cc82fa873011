"""Topics of a cluster: which there are, how wide they are and how far they go."""

import logging
import threading
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from easq.log.interface import IDENTITY, MODELS, LogAwayError, no_such
from easq.log.kafka_address import MAX_ROW_BYTES, ClientSettings, KafkaAddress
from easq.log.kafka_errors import in_our_words, told

LOOK_SECONDS = 0.05
_log = logging.getLogger(__name__)


class Topics:
    """Threads share it. A topic that is not there is made."""

    def __init__(self, address: KafkaAddress, settings: ClientSettings) -> None:
        self.address, self.away_seconds = address, address.away_seconds
        self._admin_settings = settings.admins(address)
        self._known: dict[str, int] = {}
        # Neither fetches: a question would wait behind a fetch on the same connection. And a
        # client that is asked for watermarks without a pause never takes in new metadata.
        with told("opening a consumer"):
            self._topics, self._ends = (Consumer(settings.consumers(address)) for _ in range(2))
        self._one_at_a_time = threading.Lock()

    def name(self, topic: str) -> str:
        return f"{self.address.prefix}.{topic}"

    def partitions(self, topic: str) -> int:
        """Asks the brokers, every time."""
        width = self._width(topic)
        if not width:
            self._make(topic)
            width = self._wait_for(topic, 1)
        self._known[topic] = width
        return width

    def check(self, topic: str, partition: int) -> None:
        """Raises LogError if there is no such partition."""
        if not 0 <= partition < self._known.get(topic, 0):
            width = self.partitions(topic)
            if not 0 <= partition < width:
                raise no_such(topic, partition, width)

    def grow(self, topic: str, total: int) -> None:
        if total > self.partitions(topic):
            wider = NewPartitions(self.name(topic), total)
            with told(f"adding partitions to {topic}"):
                self._ask("create_partitions", [wider])
            self._known[topic] = self._wait_for(topic, total)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The oldest offset kept and the high watermark."""
        self.check(topic, partition)
        place = TopicPartition(self.name(topic), partition)
        with self._one_at_a_time, told(f"asking for the end of {topic}[{partition}]"):
            found = self._ends.get_watermark_offsets(place, timeout=self.away_seconds)
        if found is None:
            raise LogAwayError(f"asking for the end of {topic}[{partition}]: no answer in time")
        return found

    def trim(self, topic: str, partition: int, before: int) -> None:
        low, high = self.bounds(topic, partition)
        if before <= low:
            return
        place = TopicPartition(self.name(topic), partition, min(before, high))
        try:
            self._ask("delete_records", [place])
        except KafkaException as error:
            if error.args[0].code() != KafkaError._UNSUPPORTED_FEATURE:
                raise
            _log.warning("the brokers delete no records: %s keeps all of them", self.name(topic))

    def _width(self, topic: str) -> int:
        """How many partitions it has; 0: there is no such topic."""
        name = self.name(topic)
        with told(f"asking for topic {name}"):
            found = self._topics.list_topics(name, timeout=self.away_seconds).topics[name]
        if found.error is None:
            return len(found.partitions)
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return 0
        raise in_our_words(found.error, f"asking for topic {name}")

    def _make(self, topic: str) -> None:
        new = NewTopic(
            self.name(topic),
            1 if topic in (MODELS, IDENTITY) else self.address.partitions,
            self.address.replication,
            config={"max.message.bytes": str(MAX_ROW_BYTES)}
            | ({"retention.ms": "-1"} if topic == IDENTITY else {}),
        )
        try:
            self._ask("create_topics", [new])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise in_our_words(error.args[0], f"making topic {new.topic}") from error

    def _wait_for(self, topic: str, total: int) -> int:
        """Brokers hear of a new partition one after another."""
        deadline = monotonic() + self.away_seconds
        while (width := self._width(topic)) < total:
            if monotonic() > deadline:
                raise LogAwayError(f"{self.name(topic)} is made, but no broker knows it yet")
            sleep(LOOK_SECONDS)
        return width

    def _ask(self, what: str, about: list[Any]) -> None:
        admin = AdminClient(self._admin_settings)  # rare, so it is not kept
        futures = getattr(admin, what)(about, request_timeout=self.away_seconds)
        try:
            for future in futures.values():
                future.result(self.away_seconds + 1)
        except TimeoutError as error:
            raise LogAwayError(f"no broker did this in time: {what}") from error
