"""Kafka's own troubles: brokers away, answers lost, rows too large, rows of others."""

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from pydantic import ValidationError

from easq.log.connect import open_log
from easq.log.interface import (
    EVENTS,
    Log,
    LogAwayError,
    LogError,
    LogFullError,
    TrimmedError,
)
from easq.log.kafka_errors import told

from .broker_proxy import BrokerProxy
from .mock_kafka import MockKafka

NOT_LEADER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS = 6, 7, 19
QUICK = {"consumer": {"fetch.wait.max.ms": 10}}
SECONDS = 60.0
Address = Callable[..., str]
Opened = Callable[[str], Log]


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def values(log: Log) -> list[int]:
    found: list[int] = []
    start = 0
    while (rows := log.read(EVENTS, 0, start)) is not None:
        found += rows.table["n"].to_pylist()
        start = int(rows.offsets[-1]) + 1
    return found


@pytest.mark.parametrize("error", [NOT_LEADER, REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS])
def test_a_refused_request_is_tried_again(
    mock_kafka: MockKafka, mock_address: Address, opened: Opened, error: int
) -> None:
    log = opened(mock_address())
    mock_kafka.fail_produce(error, error)
    assert log.append(EVENTS, 0, numbers(0, 1, 2)).tolist() == [0, 1, 2]
    assert values(log) == [0, 1, 2]


def test_a_retry_is_the_same_batch_again(
    proxy: BrokerProxy, mock_address: Address, opened: Opened
) -> None:
    """Brokers drop a batch whose producer and sequence they have seen; mock brokers do not."""
    log = opened(mock_address(servers=proxy.servers))
    log.append(EVENTS, 0, numbers(0))
    proxy.produced.clear()
    proxy.lose_answers = 2
    log.append(EVENTS, 0, numbers(1))
    first, *again = [_batch_identity(frame) for frame in proxy.produced]
    assert len(again) == 2
    assert set(again) == {first}
    log.append(EVENTS, 0, numbers(2))
    assert _batch_identity(proxy.produced[-1]) == (*first[:2], first[2] + 1)


def _batch_identity(frame: bytes) -> tuple[int, int, int]:
    """Producer id, epoch and base sequence of the record batch (format 2) in a produce request."""
    batch = next(
        i for i in range(len(frame)) if frame[i : i + 8] == bytes(8) and frame[i + 16] == 2
    )
    return struct.unpack_from(">qhi", frame, batch + 43)


def test_an_outage_is_told_and_then_over(
    proxy: BrokerProxy, mock_address: Address, opened: Opened
) -> None:
    patient = opened(address := mock_address(servers=proxy.servers, away_seconds=SECONDS))
    patient.append(EVENTS, 0, numbers(0, 1))
    assert values(patient) == [0, 1]
    proxy.go_away()
    hasty = opened(address.replace(f"away_seconds={SECONDS}", "away_seconds=0.7"))
    for log_call in (
        lambda: hasty.append(EVENTS, 0, numbers(99)),
        lambda: hasty.read(EVENTS, 0, 2),
        lambda: hasty.end(EVENTS, 0),
        lambda: hasty.partitions(EVENTS),
    ):
        with pytest.raises(LogAwayError):
            log_call()
    proxy.come_back()
    patient.append(EVENTS, 0, numbers(2))
    assert values(patient) == [0, 1, 2]
    assert _when_back(lambda: values(hasty)) == [0, 1, 2]


def _when_back(attempt: Callable[[], object]) -> object:
    deadline = monotonic() + SECONDS
    while True:
        try:
            return attempt()
        except LogAwayError:
            assert monotonic() < deadline


def test_an_append_rides_out_a_short_outage(
    proxy: BrokerProxy, mock_address: Address, opened: Opened
) -> None:
    log = opened(mock_address(servers=proxy.servers, away_seconds=SECONDS))
    log.append(EVENTS, 0, numbers(0))
    proxy.go_away()
    with ThreadPoolExecutor(1) as pool:
        appending = pool.submit(log.append, EVENTS, 0, numbers(1, 2))
        proxy.refused.wait(SECONDS)
        proxy.come_back()
        assert appending.result(SECONDS).tolist() == [1, 2]
    assert values(log) == [0, 1, 2]


def test_a_broker_that_the_client_has_given_up_is_away() -> None:
    """What a reader met in an outage, now and then."""
    with pytest.raises(LogAwayError), told("asking"):
        raise KafkaException(KafkaError(KafkaError._DESTROY_BROKER))


def test_no_broker_at_all_is_away() -> None:
    log = open_log("kafka://127.0.0.1:1?away_seconds=0.2")
    with pytest.raises(LogAwayError):
        log.append(EVENTS, 0, numbers(1))
    with pytest.raises(LogAwayError):
        log.read(EVENTS, 0, 0)


def test_a_start_that_the_brokers_dropped_is_told(mock_address: Address, opened: Opened) -> None:
    log = opened(mock_address())
    rng = np.random.default_rng(0)
    for i in range(8):  # the mock broker keeps 5 MiB
        log.append(EVENTS, 0, pa.table({"n": [i], "weights": [rng.bytes(900_000)]}))
    begin = log.begin(EVENTS, 0)
    assert 0 < begin < 8
    with pytest.raises(TrimmedError, match="is trimmed"):
        log.read(EVENTS, 0, 0)
    rows = log.read(EVENTS, 0, begin, max_rows=1)
    assert rows is not None
    assert rows.table["n"].to_pylist() == [begin]


def test_a_row_too_large_is_refused_before_anything_is_sent(
    mock_address: Address, opened: Opened
) -> None:
    log = opened(mock_address(config={**QUICK, "producer": {"message.max.bytes": 100_000}}))
    rows = pa.table({"n": [0, 1], "weights": [b"", bytes(200_000)]})
    with pytest.raises(LogError, match=r"message\.max\.bytes"):
        log.append(EVENTS, 0, rows)
    assert log.end(EVENTS, 0) == 0
    log.append(EVENTS, 0, rows.slice(0, 1))
    assert values(log) == [0]


def test_a_full_queue_is_waited_for_and_then_told(
    proxy: BrokerProxy, mock_address: Address, opened: Opened
) -> None:
    small = {**QUICK, "producer": {"queue.buffering.max.messages": 2}}
    log = opened(mock_address(servers=proxy.servers, config=small, away_seconds=5.0))
    log.append(EVENTS, 0, numbers(*range(10)))
    proxy.go_away()
    with pytest.raises(LogFullError):
        log.append(EVENTS, 0, numbers(*range(10, 20)))
    proxy.come_back()
    _when_back(lambda: log.append(EVENTS, 0, numbers(10)))
    assert values(log) == list(range(11))


@pytest.mark.parametrize("value", [b"hello", b"", None])
def test_rows_of_others_are_told(
    mock_address: Address, opened: Opened, value: bytes | None
) -> None:
    address = mock_address()
    log = opened(address)
    log.append(EVENTS, 0, numbers(0))
    producer = Producer({"bootstrap.servers": urlsplit(address).netloc})
    producer.produce(f"{parse_qs(urlsplit(address).query)['prefix'][0]}.events", value, partition=0)
    assert producer.flush(SECONDS) == 0
    with pytest.raises(LogError, match="hold no row of this log"):
        values(log)


@pytest.mark.parametrize(
    "query", ["?colour=red", "?partitions=0", "/events", "?prefix=a.b", "?config"]
)
def test_an_address_says_nothing_unknown(query: str) -> None:
    with pytest.raises(ValueError, match=r"red|partitions|path|prefix|config|bad query"):
        open_log(f"kafka://127.0.0.1:1{query}")


def test_settings_are_read_from_a_file(tmp_path) -> None:
    path = tmp_path / "kafka.json"
    path.write_text(json.dumps({"client": {"security.protocol": "SSL", "no.such.setting": 1}}))
    with pytest.raises(LogError, match=r"no\.such\.setting"):
        open_log(f"kafka://127.0.0.1:1?config={path}")
    path.write_text(json.dumps({"clients": {}}))
    with pytest.raises(ValidationError, match="clients"):
        open_log(f"kafka://127.0.0.1:1?config={path}")
