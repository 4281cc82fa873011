"""What `easq status` tells of a loop whose service is away."""

import json

import pyarrow as pa
from typer.testing import CliRunner

from easq.announcements import Rollout
from easq.log.interface import EVENTS
from easq.log.sqlite import SqliteLog
from easq.rollout import announce
from jobs.cli import COMMANDS
from jobs.services import free_port
from jobs.status import decisions

PARTITION = {"next_offset": 3, "lag_ms": 12, "counts": {"answer samples": 2}}


def test_status_tells_of_every_hop_though_the_service_is_away(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    log.append(EVENTS, 0, pa.table({"a": [1, 2, 3]}))
    announce(log, Rollout(version=4, previous=3, ranks_below=1, reason="it passed"), 1_000)
    (tmp_path / "join.json").write_text(json.dumps({"partitions": {"0": PARTITION}}))
    run = tmp_path / "run"
    run.mkdir()
    (run / "windows.jsonl").write_text(json.dumps({"window": 6, "lag_seconds": 0.25}) + "\n")
    state = {
        "url": f"http://127.0.0.1:{free_port()}",
        "mlflow": "http://127.0.0.1:5000",
        "log": f"sqlite:///{tmp_path / 'log.db'}",
        "run": str(run),
        "join_status": str(tmp_path / "join.json"),
        "parts": {"train": {"pid": None, "restarts": 2, "log": "train.log"}},
    }
    (tmp_path / "up.json").write_text(json.dumps(state))
    told = CliRunner().invoke(COMMANDS, ["status", str(tmp_path)], env={"COLUMNS": "120"})
    assert told.exit_code == 0, told.output
    for fact in (r"waits", "{0: 3}", "answer samples", "0.25 s", "ranks below 1", "it passed"):
        assert fact in told.output
    machine = json.loads(CliRunner().invoke(COMMANDS, ["status", str(tmp_path), "--json"]).stdout)
    assert machine["replicas"] == {}
    assert machine["gate"][0]["version"] == 4


def test_without_a_loop_it_says_how_to_start_one(tmp_path):
    told = CliRunner().invoke(COMMANDS, ["status", str(tmp_path)])
    assert isinstance(told.exception, ValueError)
    assert "easq up" in str(told.exception)


def test_the_newest_decision_stands_behind_more_than_one_read_of_deltas(tmp_path, monkeypatch):
    monkeypatch.setattr("easq.log.sqlite.MAX_BYTES", 1)
    log = SqliteLog(tmp_path / "log.db")
    for version in (1, 2, 3):
        announce(log, Rollout(version=version, previous=None, ranks_below=None, reason="r"), 0)
    assert [decision["version"] for decision in decisions(log)] == [3, 2, 1]
