"""What every engine of the log promises (easq.log.interface)."""

import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easq.events import EVENT
from easq.log.connect import partition_of
from easq.log.identity import identity
from easq.log.interface import EVENTS, MODELS, SAMPLES, Log, LogError, Rows, TrimmedError

from .arrow_tables import tables

SECONDS = 60.0


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def everything(log: Log, topic: str, partition: int, start: int = 0, **more: int) -> Iterator[Rows]:
    while (rows := log.read(topic, partition, start, **more)) is not None:
        assert rows.table.num_rows == len(rows.offsets) > 0
        assert rows.offsets[0] >= start
        yield rows
        start = int(rows.offsets[-1]) + 1


def values(log: Log, topic: str = EVENTS, partition: int = 0, start: int = 0) -> list[int]:
    return [
        n for rows in everything(log, topic, partition, start) for n in rows.table["n"].to_pylist()
    ]


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(written=st.lists(tables(), min_size=1, max_size=3), durable=st.booleans())
def test_rows_come_back_as_they_were_written(
    log: Log, written: list[pa.Table], durable: bool
) -> None:
    offsets = [log.append(EVENTS, 0, table, durable) for table in written]
    found = list(everything(log, EVENTS, 0, int(offsets[0][0])))
    assert np.concatenate([r.offsets for r in found]).tolist() == np.concatenate(offsets).tolist()
    rows = [(r.table.schema, row) for r in found for row in r.table.to_pylist()]
    assert rows == [(table.schema, row) for table in written for row in table.to_pylist()]


def test_samples_and_events_come_back(log: Log, random_samples: Callable[..., pa.Table]) -> None:
    samples = random_samples(100)
    log.append(SAMPLES, 0, samples.slice(3, 90))
    ticks = [
        dict.fromkeys(EVENT.names)
        | {"kind": "tick", "event_id": "t", "user_id": 0, "received_at_ms": i}
        for i in range(9)
    ]
    for tick in ticks:
        log.append(EVENTS, 0, pa.Table.from_pylist([tick], schema=EVENT), durable=False)
    found = pa.concat_tables(rows.table for rows in everything(log, SAMPLES, 0))
    assert found.equals(samples.slice(3, 90))
    found = pa.concat_tables(rows.table for rows in everything(log, EVENTS, 0))
    assert found.schema == EVENT
    assert found.to_pylist() == ticks


def test_an_empty_partition_has_nothing_to_read(log: Log) -> None:
    assert len(log.append(EVENTS, 0, numbers())) == 0
    assert log.read(EVENTS, 0, 0) is None
    assert log.read(EVENTS, 0, 10**6) is None
    assert log.begin(EVENTS, 0) == log.end(EVENTS, 0)


def test_a_read_keeps_its_bounds(log: Log) -> None:
    for i in range(0, 30, 3):
        log.append(EVENTS, 0, numbers(i, i + 1, i + 2))
    for start, end in [(0, 30), (4, 5), (7, 20), (29, 30), (0, 1), (28, 99)]:
        found = [r.table["n"].to_pylist() for r in everything(log, EVENTS, 0, start, end=end)]
        assert list(chain(*found)) == list(range(start, min(end, 30)))
    assert log.read(EVENTS, 0, 5, end=5) is None


def test_a_read_stops_at_max_rows_and_goes_on_after_them(log: Log) -> None:
    for i in range(20):
        log.append(EVENTS, 0, numbers(i), durable=False)
    found = list(everything(log, EVENTS, 0, max_rows=3))
    assert max(len(rows.offsets) for rows in found) <= 3
    assert [n for rows in found for n in rows.table["n"].to_pylist()] == list(range(20))


def test_a_read_stops_when_it_has_many_bytes(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("easq.log.sqlite.MAX_BYTES", 1000)
    monkeypatch.setattr("easq.log.kafka_cursor.MAX_BYTES", 1000)
    for i in range(10):
        log.append(MODELS, 0, pa.table({"n": [i], "weights": [bytes(900)]}))
    found = list(everything(log, MODELS, 0))
    assert len(found) == 10
    assert [n for rows in found for n in rows.table["n"].to_pylist()] == list(range(10))


def test_the_schema_may_change_inside_a_partition(log: Log) -> None:
    wider = pa.table({"n": [3, 4], "more": ["a", "b"]})
    for table in (numbers(0, 1), numbers(2), wider, numbers(5)):
        log.append(EVENTS, 0, table)
    found = list(everything(log, EVENTS, 0))
    assert {len(set(rows.table.column_names)) for rows in found} == {1, 2}
    assert [n for rows in found for n in rows.table["n"].to_pylist()] == list(range(6))
    assert [
        v
        for rows in found
        if "more" in rows.table.column_names
        for v in rows.table["more"].to_pylist()
    ] == ["a", "b"]


def test_partitions_and_topics_are_apart(
    new_address: Callable[..., str], opened: Callable[[str], Log]
) -> None:
    log = opened(new_address(partitions=3))
    assert [log.partitions(topic) for topic in (EVENTS, SAMPLES, MODELS)] == [3, 3, 1]
    for user in range(30):
        log.append(EVENTS, partition_of(user, 3), numbers(user), durable=False)
    log.append(SAMPLES, 1, numbers(99))
    assert values(log, EVENTS, 1) == list(range(1, 30, 3))
    assert values(log, SAMPLES, 1) == [99]
    assert values(log, SAMPLES, 0) == []


@pytest.mark.parametrize("partition", [-1, 1, 7])
def test_a_partition_that_is_not_there_is_refused(log: Log, partition: int) -> None:
    with pytest.raises(LogError, match="add_partitions"):
        log.append(EVENTS, partition, numbers(1))
    with pytest.raises(LogError, match="add_partitions"):
        log.read(EVENTS, partition, 0)
    with pytest.raises(LogError, match="add_partitions"):
        log.end(EVENTS, partition)


def test_every_opener_sees_the_same_log(
    new_address: Callable[..., str], opened: Callable[[str], Log]
) -> None:
    address = new_address(partitions=2)
    log, other = opened(address), opened(address)
    copy = pickle.loads(pickle.dumps(log))  # as a Ray task gets it
    log.append(EVENTS, 1, numbers(1, 2))
    assert values(other, EVENTS, 1) == values(copy, EVENTS, 1) == [1, 2]
    assert other.partitions(EVENTS) == copy.partitions(EVENTS) == 2
    copy.close()


def test_a_closed_log_opens_again(log: Log) -> None:
    log.append(EVENTS, 0, numbers(1))
    log.close()
    log.append(EVENTS, 0, numbers(2))
    assert values(log) == [1, 2]


def test_concurrent_writers_and_readers_agree(log: Log) -> None:
    writers, appends = 4, 25
    whole = writers * appends * 2
    watermarks: list[int] = []
    written = threading.Event()

    def write(writer: int) -> list[int]:
        mine = (numbers(*(1000 * writer + 2 * k + i for i in range(2))) for k in range(appends))
        return [o for rows in mine for o in log.append(EVENTS, 0, rows, durable=False).tolist()]

    def follow() -> list[Rows]:
        found: list[Rows] = []
        while sum(len(rows.offsets) for rows in found) < whole:
            start = int(found[-1].offsets[-1]) + 1 if found else 0
            if (rows := log.read(EVENTS, 0, start)) is not None:
                found.append(rows)
        return found

    def watch() -> None:
        while not written.is_set():
            watermarks.append(log.end(EVENTS, 0))

    with ThreadPoolExecutor(writers + 3) as pool:
        readers = [pool.submit(follow) for _ in range(2)]
        watching = pool.submit(watch)
        given = [pool.submit(write, writer).result for writer in range(writers)]
        offsets = [result(SECONDS) for result in given]
        written.set()
        watching.result(SECONDS)
        found = [reader.result(SECONDS) for reader in readers]
    assert all(mine == sorted(mine) for mine in offsets)
    assert watermarks == sorted(watermarks)
    for rows in found:
        seen = np.concatenate([r.offsets for r in rows])
        assert seen.tolist() == sorted(chain(*offsets))
        content = np.concatenate([r.table["n"].to_numpy() for r in rows])
        for writer in range(writers):
            mine = content[content // 1000 == writer]
            assert mine.tolist() == [1000 * writer + i for i in range(2 * appends)]


@pytest.mark.usefixtures("changes_topics")
def test_a_trimmed_start_is_told(log: Log) -> None:
    for i in range(10):
        log.append(EVENTS, 0, numbers(i))
    log.trim(EVENTS, 0, 4)
    assert log.begin(EVENTS, 0) == 4
    with pytest.raises(TrimmedError):
        log.read(EVENTS, 0, 3)
    assert values(log, start=4) == [4, 5, 6, 7, 8, 9]
    log.trim(EVENTS, 0, 10**6)
    assert log.begin(EVENTS, 0) == log.end(EVENTS, 0) == 10
    assert log.append(EVENTS, 0, numbers(10)).tolist() == [10]
    log.trim(EVENTS, 0, 2)
    assert values(log, start=10) == [10]


@pytest.mark.usefixtures("changes_topics")
def test_retention_takes_nothing_from_an_active_reader(log: Log) -> None:
    position, rows = 0, 120

    def write() -> None:
        for i in range(rows):
            log.append(EVENTS, 0, numbers(i), durable=False)

    seen: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while len(seen) < rows:
            if (found := log.read(EVENTS, 0, position, max_rows=7)) is not None:
                seen += found.table["n"].to_pylist()
                position = int(found.offsets[-1]) + 1
                log.trim(EVENTS, 0, position)
        writing.result(SECONDS)
    assert seen == list(range(rows))
    assert log.begin(EVENTS, 0) == rows


@pytest.mark.usefixtures("changes_topics")
def test_a_partition_can_be_added(
    new_address: Callable[..., str], opened: Callable[[str], Log]
) -> None:
    address = new_address(partitions=1)
    log, other = opened(address), opened(address)
    log.append(EVENTS, 0, numbers(1))
    log.add_partitions(EVENTS, 3)
    log.add_partitions(EVENTS, 2)  # never fewer
    assert other.partitions(EVENTS) == 3
    assert other.partitions(SAMPLES) == 1
    other.append(EVENTS, 2, numbers(2))
    assert values(log, EVENTS, 2) == [2]
    assert values(log) == [1]


def test_a_log_has_an_identity_that_no_other_has(
    new_address: Callable[..., str], opened: Callable[[str], Log]
) -> None:
    address = new_address()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(identity, [opened(address) for _ in range(4)]))
    assert len(set(found)) == 1
    assert identity(opened(address)) == found[0]
    assert identity(opened(new_address())) != found[0]


def test_the_sequence_of_models_is_never_split(log: Log) -> None:
    with pytest.raises(ValueError, match="one sequence"):
        log.add_partitions(MODELS, 2)
