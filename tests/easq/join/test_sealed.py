"""Windows are read whole, in one order, from wherever a position says."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from easq.log.interface import SAMPLES, Log, LogError
from easq.log.sqlite import SqliteLog
from easq.sealed import SealedReader, SealedWindow, event_ids

ROW = pa.schema(
    [
        ("request_id", pa.string()),
        ("window", pa.int64()),
        ("window_row", pa.int32()),
        ("window_rows", pa.int32()),
        ("sealed_at_ms", pa.int64()),
        ("event_ids", pa.list_(pa.string())),
    ]
)


def window(number: int, rows: int, sealed_at_ms: int = 0) -> pa.Table:
    """Rows r<number>.<row>; no rows: the single one that stands for an empty window."""
    made = [
        {
            "request_id": f"r{number}.{i}",
            "window": number,
            "window_row": i,
            "window_rows": rows,
            "sealed_at_ms": sealed_at_ms,
            "event_ids": [f"e{number}.{i}"],
        }
        for i in range(max(rows, 1))
    ]
    return pa.Table.from_pylist(made, schema=ROW)


def append(log: Log, *windows: pa.Table, partition: int = 0) -> None:
    for table in windows:
        log.append(SAMPLES, partition, table)


def available(reader: SealedReader) -> Iterator[SealedWindow]:
    while (found := reader.next()) is not None:
        yield found


def ids(window: SealedWindow) -> list[str]:
    return window.table.column("request_id").to_pylist()


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.db")


@pytest.fixture
def two(tmp_path: Path) -> SqliteLog:
    """A log of two partitions."""
    return SqliteLog(tmp_path / "log.db", partitions=2)


def test_windows_come_whole_and_a_position_goes_on_after_any_of_them(log: SqliteLog):
    append(log, window(0, 2), window(1, 3), window(2, 1))
    read = list(available(SealedReader(log)))
    assert [ids(w) for w in read] == [["r0.0", "r0.1"], ["r1.0", "r1.1", "r1.2"], ["r2.0"]]
    assert [w.offsets for w in read] == [{0: 2}, {0: 5}, {0: 6}]
    after = SealedReader(log, [5], 2).next()
    assert after is not None
    assert (after.number, ids(after)) == (2, ["r2.0"])


def test_half_a_window_is_waited_for(log: SqliteLog):
    """An engine of single messages shows rows one by one."""
    whole = window(0, 3)
    reader = SealedReader(log)
    append(log, whole.slice(0, 1))
    assert reader.next() is None
    append(log, whole.slice(1, 1))
    assert reader.next() is None
    append(log, whole.slice(2, 1))
    assert [ids(w) for w in available(reader)] == [["r0.0", "r0.1", "r0.2"]]


def test_rows_written_twice_are_read_once(log: SqliteLog):
    first, second = window(0, 3), window(1, 2)
    append(log, first.slice(0, 2), first, first.slice(1, 1), second, second)
    assert [len(ids(w)) for w in available(SealedReader(log))] == [3, 2]


def test_a_position_remembers_what_was_read(log: SqliteLog):
    append(log, window(0, 2), window(0, 2), window(1, 1))
    found = SealedReader(log, [2], 1).next()
    assert found is not None
    assert ids(found) == ["r1.0"]


def test_a_missing_row_is_an_error(log: SqliteLog):
    append(log, window(0, 1), window(2, 1))
    reader = SealedReader(log)
    assert reader.next() is not None
    with pytest.raises(LogError, match="window 1 are missing after offset 1"):
        reader.next()


def test_partitions_are_merged_by_the_time_of_sealing(two: SqliteLog):
    append(two, window(0, 1, 10), window(1, 1, 11), window(2, 1, 30))
    reader = SealedReader(two)
    assert reader.next() is None
    append(two, window(0, 0, 12), window(1, 2, 31), partition=1)
    read = list(available(reader))
    assert [ids(w) for w in read] == [["r0.0"], ["r1.0"], [], ["r2.0"]]
    assert [w.offsets for w in read] == [{0: 1, 1: 0}, {0: 2, 1: 0}, {0: 2, 1: 1}, {0: 3, 1: 1}]


def test_a_restarted_reader_merges_in_the_same_order(two: SqliteLog):
    append(two, *(window(k, 1, 10 * k) for k in range(6)))
    append(two, *(window(k, 1, 15 * k) for k in range(4)), partition=1)
    read = list(available(SealedReader(two)))
    for stopped in read:
        offsets = [stopped.offsets[0], stopped.offsets[1]]
        again = list(available(SealedReader(two, offsets, stopped.number + 1)))
        assert [w.offsets for w in again] == [w.offsets for w in read[stopped.number + 1 :]]


def test_reading_begins_with_the_oldest_whole_window_that_is_kept(log: SqliteLog):
    append(log, window(7, 3).slice(1), window(8, 2))
    found = SealedReader(log).next()
    assert found is not None
    assert ids(found) == ["r8.0", "r8.1"]


def test_rows_say_which_events_they_hold():
    assert event_ids(window(3, 2)) == ["e3.0", "e3.1"]


def test_a_position_fits_the_partitions(two: SqliteLog):
    with pytest.raises(ValueError, match="2 partitions, 1 offsets"):
        SealedReader(two, [0])
