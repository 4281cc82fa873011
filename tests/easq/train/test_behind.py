"""How far joiner and training are behind, and when that is told."""

from pathlib import Path

import pyarrow as pa
import pytest

from easq.log.interface import EVENTS, SAMPLES
from easq.log.sqlite import SqliteLog
from easq.manifest import write_manifest
from easq.train.behind import (
    Alarm,
    Reached,
    joining,
    read_reached,
    seconds_behind,
    training,
    write_reached,
)
from easq.train.position import Position

NOW_MS = 20_000


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    """Two partitions, with samples sealed at 9, 12 and 15 s, and at 8 and 16 s."""
    log = SqliteLog(tmp_path / "log.db", 2)
    for partition, seconds in ((0, (9, 12, 15)), (1, (8, 16))):
        sealed = pa.table({"sealed_at_ms": [1000 * s for s in seconds]})
        log.append(SAMPLES, partition, sealed)
    return log


@pytest.mark.parametrize(
    ("offsets", "seconds"),
    [({}, 12.0), ({0: 1, 1: 1}, 8.0), ({0: 2, 1: 2}, 5.0), ({0: 3, 1: 2}, 0.0)],
)
def test_training_is_as_far_behind_as_the_oldest_sample_is_old(log, tmp_path, offsets, seconds):
    write_reached(tmp_path, Reached(next_window=4, offsets=offsets))
    assert seconds_behind(log, training("feed", tmp_path, 8), NOW_MS) == seconds


def test_the_joiner_is_as_far_behind_as_the_oldest_event_is_old(log):
    log.append(EVENTS, 1, pa.table({"received_at_ms": [1_000, 18_500]}))
    assert seconds_behind(log, joining(lambda: {1: 1}, 8), NOW_MS) == 1.5


def test_rows_that_retention_has_forgotten_wait_for_nobody(log, tmp_path):
    log.append(SAMPLES, 1, pa.table({"sealed_at_ms": [17_000]}))
    log.trim(SAMPLES, 0, 3)
    log.trim(SAMPLES, 1, 2)
    assert seconds_behind(log, training("feed", tmp_path / "run", 8), NOW_MS) == 3.0


def test_an_alarm_is_told_once_and_ends_once_the_delay_is_half_of_what_is_wanted(tmp_path):
    alarm = Alarm(training("feed", tmp_path, 8.0))
    behind = [(0, 0.4), (10, 8.0), (11, 8.5), (12, 9.5), (20, 4.5), (21, 8.5), (30, 4.0), (31, 0.2)]
    told = {at: said for at, seconds in behind if (said := alarm.look(seconds, at)) is not None}
    assert told.keys() == {11, 30}
    assert "training of feed is 8 s behind" in told[11]
    assert told[30].endswith("it was behind for 28 s, by 10 s at most")
    assert alarm.look(100.0, 40) is not None


def test_a_run_of_an_older_release_has_reached_its_newest_checkpoint(tmp_path):
    learnt = Position(schema_hash="", next_window=12, offsets={0: 7, 1: 9})
    (checkpoint := tmp_path / "window-000012").mkdir()
    (checkpoint / "state.json").write_text(learnt.model_dump_json())
    write_manifest(checkpoint, ["state.json"])
    assert read_reached(tmp_path) == Reached(next_window=12, offsets={0: 7, 1: 9})


def test_a_damaged_file_is_as_none(tmp_path, caplog):
    (tmp_path / "reached.json").write_text("")
    assert read_reached(tmp_path) == Reached()
    assert "cannot be read" in caplog.text
