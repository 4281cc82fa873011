"""A joined partition of a real log: crashes, ticks, retention."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from easq.events import REJECTION
from easq.join_log import JoinedPartition, first_at
from easq.join_loop import keep_trimmed, tick
from easq.log.interface import EVENTS, REJECTED, SAMPLES, LogError
from easq.log.sqlite import SqliteLog
from easq.manifest import write_manifest
from easq.sealed import SealedReader
from easq.train.position import Position
from jobs.join import needed


class CrashError(LogError):
    """The process died here."""


class RowByRow(SqliteLog):
    """Like a log of single messages: windows arrive row by row, and the writer dies in between."""

    lives = math.inf
    """So many rows of samples are written until it dies."""

    def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool = True
    ) -> np.ndarray:
        if topic != SAMPLES:
            return super().append(topic, partition, rows, durable)
        offsets = []
        for i in range(rows.num_rows):
            if self.lives <= 0:
                raise CrashError
            self.lives -= 1
            offsets.append(super().append(topic, partition, rows.slice(i, 1), durable=False))
        return np.concatenate(offsets)


def joined(log: SqliteLog, partition: int = 0) -> list[pa.Table]:
    reader, windows = SealedReader(log), []
    while (window := reader.next()) is not None:
        windows.append(window.table)
    return windows


def work(partition: JoinedPartition) -> None:
    while partition.step():
        pass


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.db")


@pytest.mark.parametrize("rows_a_life", [1, 3])
def test_a_writer_that_dies_after_any_row_writes_the_same(
    tmp_path, spec, random_events, quick, rows_a_life
):
    config = quick.model_copy(update={"window_requests": 5, "feedback_seconds": 2.0})
    script = random_events(spec, 3, 150)
    log = RowByRow(tmp_path / "log.db")
    log.append(EVENTS, 0, script.table())
    deaths = 0
    while True:
        log.lives = rows_a_life
        try:
            work(JoinedPartition(log, 0, config))
            break
        except CrashError:
            deaths += 1
            assert deaths < 1000, "it gets nowhere"
    expected = script.joined(config)
    assert deaths >= sum(w.num_rows for w in expected) / rows_a_life - 1
    written = log.read(SAMPLES, 0, 0, max_rows=10_000)
    assert written is not None
    assert written.table.equals(pa.concat_tables(expected))
    assert [w.num_rows for w in joined(log)] == [w.num_rows for w in expected]


def test_an_idle_log_is_moved_on_until_nothing_waits(log, script, quick):
    of = script.shown(1_000)
    script.watched(1_500, of, 2, 1.0)
    script.answered(2_000, of, 1)
    log.append(EVENTS, 0, script.table())
    partition = JoinedPartition(log, 0, quick)
    ticks = []
    for now in range(2_000, 60_000, 10):
        if not partition.step():
            before = log.end(EVENTS, 0)
            tick([partition], [partition], now)
            ticks += [now] * (log.end(EVENTS, 0) - before)
    assert ticks == [3_000, 11_500, 12_000]
    assert [w.column("kind").to_pylist() for w in joined(log)] == [["answer"], ["behaviour"]]


def test_an_idle_partition_does_not_hold_up_the_others(tmp_path, script, quick):
    log = SqliteLog(tmp_path / "log.db", partitions=2)
    of = script.shown(1_000)
    script.answered(2_000, of, 1)
    log.append(EVENTS, 0, script.table())
    both = [JoinedPartition(log, p, quick) for p in (0, 1)]
    for now in range(2_000, 60_000, 50):
        idle = [partition for partition in both if not partition.step()]
        tick(idle, both, now)
    found = joined(log)
    assert [w.column("kind").to_pylist() for w in found if w.num_rows] == [["answer"]]
    ends = [log.end(EVENTS, p) for p in (0, 1)]
    assert max(ends) < 40, "ticks went on in a log that nobody uses"


def test_nobody_ticks_in_a_new_log(tmp_path, quick):
    log = SqliteLog(tmp_path / "log.db", partitions=2)
    both = [JoinedPartition(log, p, quick) for p in (0, 1)]
    tick(both, both, 5_000)
    assert log.end(EVENTS, 0) == log.end(EVENTS, 1) == 0


def test_retention_keeps_what_a_restart_needs(log, spec, random_events, quick):
    script = random_events(spec, 5, 600)
    for start in range(0, 600, 20):
        log.append(EVENTS, 0, script.rows(start, start + 20).table)
    work(partition := JoinedPartition(log, 0, quick))
    expected = script.joined(quick)
    partition.trim(before_ms=1 << 60)
    assert 0 < log.begin(EVENTS, 0) <= partition.kept_from
    (kept,) = joined(log)
    assert kept.equals(expected[-1])
    script.tick(script.events[-1]["received_at_ms"] + 100_000)
    log.append(EVENTS, 0, script.rows(600).table)
    work(JoinedPartition(log, 0, quick))
    rest = [w for w in joined(log) if w.column("window")[0].as_py() >= len(expected) - 1]
    whole = script.joined(quick)[len(expected) - 1 :]
    assert len(rest) > 1
    assert all(a.equals(b) for a, b in zip(rest, whole, strict=True))


def test_retention_keeps_what_a_run_has_yet_to_learn(log, spec, random_events, quick, tmp_path):
    log.append(EVENTS, 0, random_events(spec, 5, 600).rows().table)
    work(partition := JoinedPartition(log, 0, quick))
    learnt = log.end(SAMPLES, 0) // 2
    runs = [tmp_path / "run", tmp_path / "slower"]
    for run, offset in zip(runs, (learnt, learnt - 3), strict=True):
        keep_trimmed([partition], lambda _: True, 0, partial(needed, runs))
        assert log.begin(SAMPLES, 0) == 0, "one of them has learnt nothing yet"
        for kept in (offset, offset + 5):
            position = Position(next_window=kept, offsets={0: kept}, schema_hash="s")
            (run / f"window-{kept:06d}").mkdir(parents=True)
            (run / f"window-{kept:06d}" / "state.json").write_text(position.model_dump_json())
            write_manifest(run / f"window-{kept:06d}", ["state.json"])
    keep_trimmed([partition], lambda _: True, 0, partial(needed, runs))
    assert 0 < log.begin(SAMPLES, 0) <= learnt - 3
    keep_trimmed([partition], lambda _: True, 0, partial(needed, []))
    assert log.begin(SAMPLES, 0) > learnt


def test_what_was_refused_is_forgotten_with_time(log, quick):
    fields = {"code": "expired", "message": "The token expired.", "payload": "{}"}
    for at_ms in (1_000, 2_000, 3_000):
        table = pa.Table.from_pylist([{"received_at_ms": at_ms, **fields}], schema=REJECTION)
        log.append(REJECTED, 0, table)
    JoinedPartition(log, 0, quick).trim(before_ms=2_500)
    assert log.begin(REJECTED, 0) == 2
    assert log.end(REJECTED, 0) == 3


def test_time_finds_its_offset(log, script):
    for at_ms in (10, 20, 20, 30):
        script.tick(at_ms)
    log.append(EVENTS, 0, script.table())
    found = [first_at(log, EVENTS, 0, "received_at_ms", t) for t in (5, 10, 11, 20, 30, 31)]
    assert found == [0, 0, 1, 1, 3, 4]
