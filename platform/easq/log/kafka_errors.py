"""Kafka's errors in the log's words."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from easq.log.interface import LogAwayError, LogError, LogFullError, TrimmedError

AWAY = {
    KafkaError._TIMED_OUT,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._DESTROY_BROKER,  # the client gave up one that was away
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._RESOLVE,
    KafkaError._UNKNOWN_PARTITION,  # nobody leads it now: that it exists is checked before
    KafkaError._PURGE_QUEUE,
    KafkaError._PURGE_INFLIGHT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
}
FULL = {KafkaError._QUEUE_FULL, KafkaError.KAFKA_STORAGE_ERROR}
TRIMMED = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}


def in_our_words(error: KafkaError, what: str) -> LogError:
    """What happened while doing `what`."""
    code = error.code()
    if code in TRIMMED:
        return TrimmedError(f"{what}: {error.str()}")
    if code in FULL:
        return LogFullError(f"{what}: no room at the brokers: {error.str()}")
    if code in AWAY:
        return LogAwayError(f"{what}: no answer from the brokers: {error.str()}")
    return LogError(f"{what}: {error.str()}")


@contextmanager
def told(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise in_our_words(error.args[0], what) from error
