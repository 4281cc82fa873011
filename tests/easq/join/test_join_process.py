"""The process `easq join`: killed, stopped, alone, patient."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from easq.events import EVENT
from easq.join import Joiner
from easq.join_log import read_impression
from easq.log.interface import EVENTS, SAMPLES, LogAwayError
from easq.log.patient import PatientLog
from easq.log.sqlite import SqliteLog

HOUR_MS = 3_600_000
ROOT = Path(__file__).parents[3]


def wait_for(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not fact():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(*options) -> a joiner of tmp_path/log.db with the settings of `quick`."""
    started = []

    def go(*options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "jobs.join", f"sqlite:///{tmp_path}/log.db"]
        command += ["--feedback-seconds", "10", "--token-seconds", "60"]
        command += ["--window-requests", "64", *options]
        path = f"{ROOT / 'platform'}{os.pathsep}{ROOT}"
        started.append(
            subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield go
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_joiner_that_is_killed_writes_what_it_would_have_written(
    tmp_path, start: Start, spec, random_events, quick, partitions
):
    """Events of an hour ahead: no tick of the wall's clock comes between their offsets."""
    ahead = time.time_ns() // 1_000_000 + HOUR_MS
    log = SqliteLog(tmp_path / "log.db", partitions)
    length = 600 // partitions
    scripts = [random_events(spec, 20 + p, length, ahead) for p in range(partitions)]
    for script in scripts:
        script.tick(script.events[-1]["received_at_ms"] + 20_000)
    rng, sent = np.random.default_rng(partitions), 0

    def is_written(quota: int) -> bool:
        nonlocal sent
        some = min(int(rng.integers(1, 30)), quota - sent)
        for p, script in enumerate(scripts):
            log.append(EVENTS, p, script.table().slice(sent, some), durable=False)
        sent += some
        return sent == quota

    for quota in (length // 4, length // 2, length * 3 // 4):
        possible = script_rows(scripts[0], quick, partitions > 1, quota)
        goal = int(rng.integers(log.end(SAMPLES, 0), possible + 1))
        process = start("--partitions", str(partitions))
        wait_for(
            lambda quota=quota, goal=goal: is_written(quota) and log.end(SAMPLES, 0) >= goal,
            f"sample {goal}",
        )
        process.kill()
        process.wait()
    while not is_written(length + 1):
        pass
    expected = [pa_rows(expected_of(log, p, quick, partitions > 1)) for p in range(partitions)]
    process = start("--partitions", str(partitions))
    for p in range(partitions):
        wait_for(lambda p=p: log.end(SAMPLES, p) >= len(expected[p]), "the last sample")
    process.terminate()
    assert process.wait(90) == 0
    for p in range(partitions):
        assert samples(log, p) == expected[p]


def script_rows(script, config, several: bool, end: int) -> int:
    """How many rows of samples the first events make."""
    return sum(w.num_rows for w in script.joiner(config, several).feed(script.rows(0, end)))


def expected_of(log: SqliteLog, p: int, config, several: bool) -> list[pa.Table]:
    """What one uninterrupted joiner makes of the events that are in the log."""
    joiner = Joiner(config, lambda offset: read_impression(log, p, offset), several)
    windows, start = [], 0
    while (rows := log.read(EVENTS, p, start)) is not None:
        windows += joiner.feed(rows)
        start = int(rows.offsets[-1]) + 1
    return windows


def samples(log: SqliteLog, p: int) -> list[dict]:
    tables, start = [], 0
    while (rows := log.read(SAMPLES, p, start)) is not None:
        tables.append(rows.table)
        start = int(rows.offsets[-1]) + 1
    return pa_rows(tables)


def pa_rows(tables: list[pa.Table]) -> list[dict]:
    return [row for table in tables for row in table.to_pylist()]


def test_a_lone_answer_is_sealed_by_the_wall_clock_and_one_joiner_works(
    tmp_path, start: Start, script
):
    log, status = SqliteLog(tmp_path / "log.db"), tmp_path / "join.json"
    now = time.time_ns() // 1_000_000
    script.answered(now, script.shown(now), 1)
    log.append(EVENTS, 0, script.table())
    process = start("--window-seconds", "0.1", "--status", str(status))
    wait_for(lambda: log.end(SAMPLES, 0) == 1, "a sealed answer")
    other = start("--window-seconds", "0.1")
    assert other.wait(90) == 2
    assert other.stderr is not None
    assert "another process holds" in other.stderr.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 0
    (partition,) = json.loads(status.read_text())["partitions"].values()
    assert partition["counts"] == {"answer samples": 1, "impressions": 1}
    assert (partition["next_window"], partition["open_requests"]) == (1, 1)


def test_a_locked_log_is_waited_for(tmp_path, caplog, script):
    path = tmp_path / "log.db"
    log = SqliteLog(path, busy_seconds=0.01)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    waits = []

    def stopped(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            blocker.execute("ROLLBACK")
        return False

    script.tick(1)
    offsets = PatientLog(log, stopped).append(EVENTS, 0, script.table().cast(EVENT))
    assert offsets.tolist() == [0]
    assert waits == [0.05, 0.1, 0.2]
    assert len(caplog.records) == 2
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogAwayError):
        PatientLog(log, lambda _: True).append(EVENTS, 0, script.table())
