"""What `easq status` tells of a loop whose service is away."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from typer.testing import CliRunner

from easq.announcements import Rollout
from easq.free_ports import free_port
from easq.log.interface import EVENTS, SAMPLES
from easq.log.sqlite import SqliteLog
from easq.registry import publish
from easq.registry_aliases import tag
from easq.rollout import rolled_back
from easq.rollout_log import announce
from easq.train.behind import Reached, write_reached
from jobs.cli import COMMANDS
from jobs.gatekeeper import AFTER, REASON, ROLLED_OUT, VERDICT
from jobs.line_look import decisions
from jobs.status_tables import replica_table

PARTITION = {"next_offset": 3, "lag_ms": 12, "counts": {"answer samples": 2}}


CANARY = Rollout(version=4, previous=3, ranks_below=1, reason="it passed")
WHOLE = Rollout(version=9, previous=8, ranks_below=None, reason="so did this")


def line(run: Path, models: Path, lag: float, rollout: Rollout) -> dict[str, str]:
    """A model line that has learnt a window and was rolled out."""
    run.mkdir()
    learnt_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    window = {"window": 6, "lag_seconds": lag, "learnt_at": learnt_at}
    (run / "windows.jsonl").write_text(json.dumps(window) + "\n")
    announce(SqliteLog(models), rollout, 1_000)
    return {"run": str(run), "models": f"sqlite:///{models}"}


def test_status_tells_of_every_hop_and_line_though_the_service_is_away(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    log.append(EVENTS, 0, pa.table({"a": [1, 2, 3]}))
    (tmp_path / "join.json").write_text(json.dumps({"partitions": {"0": PARTITION}}))
    lines = {
        "easq": line(tmp_path / "easq", tmp_path / "log.db", 0.25, CANARY),
        "emer": line(tmp_path / "emer", tmp_path / "emer.db", 0.75, WHOLE),
    }
    (tmp_path / "easq" / "turn").write_text("5\n")
    state = {
        "url": f"http://127.0.0.1:{free_port()}",
        "mlflow": "http://127.0.0.1:5000",
        "log": f"sqlite:///{tmp_path / 'log.db'}",
        "lines": lines,
        "join_status": str(tmp_path / "join.json"),
        "parts": {
            "gate": {"pid": None, "restarts": 2, "log": "gate.log"},
            "train": {"pid": 5, "restarts": 0, "log": "train.log"},
            "standby": {"pid": 7, "restarts": 0, "log": "standby.log"},
        },
    }
    (tmp_path / "up.json").write_text(json.dumps(state))
    told = CliRunner().invoke(COMMANDS, ["status", str(tmp_path)], env={"COLUMNS": "120"})
    assert told.exit_code == 0, told.output
    for fact in (r"waits", "{0: 3}", "answer samples", "ranks below 1", "it passed"):
        assert fact in told.output
    for fact in (
        r"train +│ 5 ",
        r"standby +│ 7, stands by ",
        r"easq .* 6, 0\.25 s after its seal, 3,6\d\d s ago",
        r"emer .* 6, 0\.75 s after its seal, 3,6\d\d s ago",
        r"emer .* 9 .* all .* so did this",
    ):
        assert re.search(fact, told.output), told.output
    machine = json.loads(CliRunner().invoke(COMMANDS, ["status", str(tmp_path), "--json"]).stdout)
    assert machine["replicas"] == {}
    assert [one["gate"][0]["version"] for one in machine["lines"].values()] == [4, 9]
    assert all(one["training"]["age_seconds"] > 3599 for one in machine["lines"].values())


def test_whoever_is_late_is_told_of_before_all_else(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    now = time.time_ns() // 1_000_000
    log.append(EVENTS, 0, pa.table({"received_at_ms": [now - 900_000, now - 300_000]}))
    log.append(SAMPLES, 0, pa.table({"sealed_at_ms": [now - 900_000, now - 600_000]}))
    (tmp_path / "join.json").write_text('{"partitions": {"0": {"next_offset": 1, "counts": {}}}}')
    lines = {
        "easq": line(tmp_path / "easq", tmp_path / "log.db", 0.25, CANARY) | {"fresh_seconds": 8},
        "emer": line(tmp_path / "emer", tmp_path / "emer.db", 0.75, WHOLE) | {"fresh_seconds": 8},
    }
    for name, offset in (("easq", 1), ("emer", 2)):
        write_reached(tmp_path / name, Reached(next_window=9, offsets={0: offset}))
    state = {
        "url": f"http://127.0.0.1:{free_port()}",
        "mlflow": "http://127.0.0.1:5000",
        "log": f"sqlite:///{tmp_path / 'log.db'}",
        "lines": lines,
        "join_status": str(tmp_path / "join.json"),
        "parts": {},
    }
    (tmp_path / "up.json").write_text(json.dumps(state))
    machine = json.loads(CliRunner().invoke(COMMANDS, ["status", str(tmp_path), "--json"]).stdout)
    joining, easq, emer = machine["behind_seconds"].values()
    assert 300 <= joining < 600 <= easq < 900
    assert emer == 0
    assert [said.partition(" is ")[0] for said in machine["alarms"]] == [
        "joining",
        "training of easq",
    ]
    told = CliRunner().invoke(COMMANDS, ["status", str(tmp_path)]).output.splitlines()
    assert re.match(r"joining is 3\d\d s behind, where 8 s are wanted", told[0])
    assert re.match(r"training of easq is 6\d\d s behind, where 8 s are wanted", told[1])


def test_every_line_of_every_replica_has_a_row():
    served = {"version": 3, "seq": 7}
    stopped = {"stopped": "version 6 is blocked"}
    report = {"live": served | {"version": 4}, "refresh": {"problem": None}, "deltas": stopped}
    other = {"live": served, "refresh": {"problem": "version 5 is refused"}, "deltas": None}
    found = {
        "addresses": {"url": "here"},
        "lines": {"easq": {}, "emer": {}},
        "replicas": {"r0": report | {"lines": {"emer": other}}},
    }
    columns = [list(column.cells) for column in replica_table(found).columns]
    assert columns[:3] == [["r0", ""], ["easq", "emer"], ["4", "3"]]
    assert columns[4] == [
        "the lane is stopped, no deltas are served: version 6 is blocked",
        "version 5 is refused",
    ]


def test_verdicts_and_a_stopped_lane_are_told_with_their_reasons(tmp_path, mlflow_uri, online_run):
    run = online_run(1)
    blocked = publish(mlflow_uri, "easq-ranker", run.save("blocked")[0])
    run.learn()
    judged = publish(mlflow_uri, "easq-ranker", run.save("judged")[0])
    reason = {REASON: "it lost 3 %", VERDICT: "blocked", ROLLED_OUT: "blocked"}
    tag(mlflow_uri, blocked, {AFTER: '{"0": 5}'} | reason)
    tag(mlflow_uri, judged, {AFTER: '{"0": 9}'})
    (tmp_path / "run").mkdir()
    back = rolled_back(1, 7, "version 1 is blocked: it lost 3 %")
    announce(SqliteLog(tmp_path / "models.db"), back, 0)
    places = {"run": str(tmp_path / "run"), "models": f"sqlite:///{tmp_path / 'models.db'}"}
    state = {
        "url": f"http://127.0.0.1:{free_port()}",
        "mlflow": mlflow_uri,
        "log": places["models"],
        "lines": {"easq-ranker": places},
        "join_status": str(tmp_path / "join.json"),
        "parts": {},
    }
    (tmp_path / "up.json").write_text(json.dumps(state))
    shown = CliRunner().invoke(COMMANDS, ["status", str(tmp_path)], env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    for fact in (
        r"2 +│ waits +│ it waits for enough requests",
        r"1 +│ blocked +│ it lost 3 % +│ blocked",
        r"fast lane +│ stopped: version 1 is blocked: it lost 3 %",
        r"7 +│ all replicas, no deltas",
    ):
        assert re.search(fact, shown.output), shown.output


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
