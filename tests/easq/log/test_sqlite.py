"""SQLite's own troubles: processes that die, locks, a full disk, a file that must shrink."""

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from easq.log.interface import (
    EVENTS,
    SAMPLES,
    LogAwayError,
    LogError,
    LogFullError,
    TrimmedError,
)
from easq.log.sqlite import SqliteLog

DYING = Path(__file__).with_name("dying_writers.py")
SECONDS = 60.0
Dying = Callable[..., list[int]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteLog]:
    log = SqliteLog(path, busy_seconds=0.1)
    yield log
    log.close()


@pytest.fixture
def dying(path: Path) -> Dying:
    def run(way: str, *more: object) -> list[int]:
        command = [sys.executable, str(DYING), way, str(path), *map(str, more)]
        done = subprocess.run(command, check=True, capture_output=True, timeout=120)
        return json.loads(done.stdout)

    return run


def numbers(*values: int) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def kept(log: SqliteLog, partition: int = 0) -> list[int]:
    start, found = log.begin(EVENTS, partition), []
    while (rows := log.read(EVENTS, partition, start)) is not None:
        found += rows.table["n"].to_pylist()
        start = int(rows.offsets[-1]) + 1
    return found


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_killed_between_any_two_steps_nothing_is_lost_or_halved(path: Path, dying: Dying) -> None:
    acknowledged = dying("steps")
    log = SqliteLog(path)
    assert kept(log) == list(range(log.begin(EVENTS, 0), log.end(EVENTS, 0)))
    assert log.end(EVENTS, 0) % 3 == 0
    assert max(acknowledged) < log.end(EVENTS, 0)
    assert len(set(acknowledged)) == len(acknowledged)
    assert is_sound(path)


@pytest.mark.parametrize("seed", [1])
def test_killed_at_any_moment_nothing_is_lost_or_halved(
    path: Path, dying: Dying, seed: int
) -> None:
    acknowledged = dying("any", seed)
    log = SqliteLog(path)
    assert kept(log) == list(range(log.end(EVENTS, 0)))
    assert log.end(EVENTS, 0) % 3 == 0
    assert len(acknowledged) > 10
    assert max(acknowledged) < log.end(EVENTS, 0)
    assert is_sound(path)


def test_processes_that_make_the_file_at_once_share_it(path: Path, dying: Dying) -> None:
    dying("born")
    log = SqliteLog(path, partitions=5)
    assert log.partitions(EVENTS) == 2
    assert sorted(kept(log, 1)) == sorted(6 * list(range(10)))
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_disk_that_fills_corrupts_nothing(path: Path, dying: Dying) -> None:
    acknowledged = dying("full")
    log = SqliteLog(path)
    assert 3 < len(acknowledged) < 1000
    assert kept(log) == acknowledged == list(range(len(acknowledged)))
    assert is_sound(path)
    assert log.append(EVENTS, 0, numbers(7)).tolist() == [len(acknowledged)]


def test_a_child_uses_its_parents_log(path: Path, dying: Dying) -> None:
    assert dying("fork") == [0, 3, 6]
    assert kept(SqliteLog(path)) == list(range(9))


def test_a_full_file_takes_rows_again_after_a_trim(log: SqliteLog) -> None:
    connection = log._file.connection()
    connection.execute("PRAGMA max_page_count = 100")
    row = pa.table({"n": [0], "weight": [bytes(20_000)]})
    with pytest.raises(LogFullError, match="full"):
        _append_often(log, row)
    end = log.end(EVENTS, 0)
    assert len(kept(log)) == end > 5
    log._file.connection().execute("PRAGMA max_page_count = 100")
    with pytest.raises(LogFullError):
        log.append(EVENTS, 0, pa.table({"n": [0], "weight": [bytes(400_000)]}))
    log.trim(EVENTS, 0, end)
    assert log.append(EVENTS, 0, row).tolist() == [end]


def _append_often(log: SqliteLog, row: pa.Table) -> None:
    for _ in range(50):
        log.append(EVENTS, 0, row)


def test_a_locked_file_is_away_for_writers_only(path: Path, log: SqliteLog) -> None:
    log.append(EVENTS, 0, numbers(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LogAwayError, match="locked"):
            log.append(EVENTS, 0, numbers(2))
        with pytest.raises(LogAwayError, match="locked"):
            log.trim(EVENTS, 0, 1)
        assert kept(log) == [1]
        other.execute("ROLLBACK")
    log.append(EVENTS, 0, numbers(3))
    assert kept(log) == [1, 3]


def test_retention_shrinks_the_file(path: Path, log: SqliteLog) -> None:
    rng = np.random.default_rng(0)
    for i in range(200):
        log.append(SAMPLES, 0, pa.table({"n": [i], "x": [rng.bytes(100_000)]}), durable=False)
    before = path.stat().st_size
    log.trim(SAMPLES, 0, 190)
    assert path.stat().st_size < before / 8
    rows = log.read(SAMPLES, 0, 190)
    assert rows is not None
    assert rows.table["n"].to_pylist() == list(range(190, 200))


def test_a_trim_never_looks_like_a_hole(log: SqliteLog, path: Path) -> None:
    for i in range(300):
        log.append(EVENTS, 0, numbers(i), durable=False)
    done = threading.Event()

    def trim() -> None:
        retention = SqliteLog(path)
        for before in range(1, 300, 2):
            retention.trim(EVENTS, 0, before)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        trimming = pool.submit(trim)
        while not done.is_set():
            start = log.begin(EVENTS, 0)
            try:
                rows = log.read(EVENTS, 0, start, max_rows=3)
            except TrimmedError:
                continue
            assert rows is not None
            assert rows.offsets[0] == start
        trimming.result(SECONDS)


def test_readers_step_over_holes(log: SqliteLog) -> None:
    for i in range(9):
        log.append(EVENTS, 0, numbers(i))
    log._file.connection().execute("DELETE FROM blob WHERE base IN (3, 4, 7, 8)")
    assert kept(log) == [0, 1, 2, 5, 6]
    rows = log.read(EVENTS, 0, 3, max_rows=1)
    assert rows is not None
    assert rows.offsets.tolist() == [5]
    assert log.read(EVENTS, 0, 3, end=5) is None


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(LogError, match="not a log of format 1"):
        SqliteLog(other)
    other.write_bytes(b"not a database" * 100)
    with pytest.raises(LogError, match="does not work"):
        SqliteLog(other)
