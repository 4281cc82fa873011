"""The watch beside a loop: what it tells, and when."""

import json
import time
from pathlib import Path
from queue import SimpleQueue

import pyarrow as pa

from easq.log.interface import EVENTS, SAMPLES
from easq.log.sqlite import SqliteLog
from easq.train.behind import Reached, training, write_reached
from jobs.freshness_watch import FreshnessWatch, joining_by

PATIENCE_SECONDS = 30.0


def test_a_late_training_and_its_end_are_told_once_each(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("jobs.freshness_watch.LOOK_SECONDS", 0.01)
    log, run, told = SqliteLog(tmp_path / "log.db"), tmp_path / "run", SimpleQueue[str]()
    sealed = time.time_ns() // 1_000_000 - 60_000
    log.append(SAMPLES, 0, pa.table({"sealed_at_ms": [sealed]}))
    address = f"sqlite:///{tmp_path / 'log.db'}"
    with FreshnessWatch(address, [training("feed", run, 8.0)], told.put):
        assert told.get(timeout=PATIENCE_SECONDS).startswith("training of feed is ")
        run.mkdir()
        write_reached(run, Reached(next_window=1, offsets={0: 1}))
        assert told.get(timeout=PATIENCE_SECONDS).startswith("training of feed has caught up")
    assert told.empty()


def test_a_taker_that_cannot_be_told_silences_no_other(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("jobs.freshness_watch.LOOK_SECONDS", 0.01)
    log, run, told = SqliteLog(tmp_path / "log.db"), tmp_path / "run", SimpleQueue[str]()
    log.append(SAMPLES, 0, pa.table({"sealed_at_ms": [time.time_ns() // 1_000_000 - 60_000]}))
    (tmp_path / "join.json").write_text("{}")
    takers = [training("feed", run, 8.0), joining_by(tmp_path / "join.json", 8.0)]
    address = f"sqlite:///{tmp_path / 'log.db'}"
    with FreshnessWatch(address, takers, told.put), FreshnessWatch(address, takers[::-1], told.put):
        for _ in range(2):
            assert told.get(timeout=PATIENCE_SECONDS).startswith("training of feed is ")


def test_a_log_that_is_not_there_yet_holds_nobody_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("jobs.freshness_watch.LOOK_SECONDS", 0.01)
    told, status = SimpleQueue[str](), tmp_path / "join.json"
    (tmp_path / "log.db").mkdir()
    taker = joining_by(status, 8.0)
    with FreshnessWatch(f"sqlite:///{tmp_path / 'log.db'}", [taker], told.put):
        time.sleep(0.1)
        (tmp_path / "log.db").rmdir()
        received = time.time_ns() // 1_000_000 - 10_000
        log = SqliteLog(tmp_path / "log.db")
        log.append(EVENTS, 0, pa.table({"received_at_ms": [received]}))
        assert told.get(timeout=PATIENCE_SECONDS).startswith("joining is ")
        status.write_text(json.dumps({"partitions": {"0": {"next_offset": 1}}}))
        assert told.get(timeout=PATIENCE_SECONDS).startswith("joining has caught up")
