"""What `easq status` has found, in tables."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from jobs.loop_parts import DRIVERS
from jobs.replica_report import stopped_lane

SHOWN = ("next_offset", "lag_ms", "next_window", "open_requests", "kept_requests")
"""What of the joiner's status is told."""


def tables(found: dict[str, Any]) -> list[Table]:
    parts = _parts(found), replica_table(found), _lags(found), _lines(found)
    return [*parts, _verdicts(found), _gate(found)]


def _parts(found: dict[str, Any]) -> Table:
    table = Table("part", "process", "restarts", "output", title="parts")
    for name, part in found["parts"].items():
        process = str(part["pid"] or "waits")
        if part["pid"] and name in DRIVERS and found["driver"] not in (None, part["pid"]):
            process += ", stands by"
        table.add_row(name, process, str(part["restarts"]), part["log"])
    return table


def replica_table(found: dict[str, Any]) -> Table:
    """What each replica serves of each model line."""
    columns = ("replica", "line", "version", "seq", "problem")
    table = Table(*columns, title=found["addresses"]["url"])
    own = next(iter(found["lines"]))
    for name, report in found["replicas"].items():
        for line, told in {own: report, **report["lines"]}.items():
            live = told["live"] or {}
            problem = told["refresh"]["problem"] or stopped_lane(told) or ""
            place = str(live.get("version")), str(live.get("seq"))
            table.add_row(name if line == own else "", line, *place, problem)
    return table


def _lags(found: dict[str, Any]) -> Table:
    table = Table("hop", "where it is", title="the log")
    for topic, ends in found["log"].items():
        table.add_row(f"{topic}, rows written", str(ends))
    for partition, at in (found["join"] or {"partitions": {}})["partitions"].items():
        for name, value in {**at, **at["counts"]}.items():
            if name in SHOWN or name in at["counts"]:
                table.add_row(f"join {partition}: {name.replace('_', ' ')}", str(value))
    for name, seconds in found["behind_seconds"].items():
        table.add_row(f"{name}: oldest row that waits", f"{seconds:.1f} s")
    table.add_row("MLflow", found["mlflow"]["problem"] or "answers")
    table.add_row("versions that wait for MLflow", str(found["mlflow"]["waiting"]))
    return table


def _lines(found: dict[str, Any]) -> Table:
    table = Table("line", "training", "where it is", title="model lines")
    for name, line in found["lines"].items():
        for number, row in enumerate(_learning(line)):
            table.add_row("" if number else name, *row)
    return table


def _learning(line: dict[str, Any]) -> Iterator[tuple[str, str]]:
    training = line["training"] or {}
    if last := training.get("last_window"):
        lag = f", {last['lag_seconds']:.2f} s after its seal" if "lag_seconds" in last else ""
        yield "last window learnt", f"{last['window']}{lag}{_ago(training)}"
    if left_out := training.get("left_out"):
        removed = left_out.get("removed", 0)
        kept = f" ({removed} older files of rows were removed)" if removed else ""
        yield "last window left out", f"{left_out['window']}: {left_out['reason']}{kept}"
    if checkpoint := training.get("checkpoint"):
        learnt = f"{checkpoint['next_window']} windows, {checkpoint['requests']:,} requests"
        yield "checkpoint", f"{learnt}, samples up to {checkpoint['offsets']}"
    yield "announcements", str(line["announced"])
    yield "fast lane", line["lane"]


def _ago(training: dict[str, Any]) -> str:
    age = training["age_seconds"]
    return "" if age is None else f", {age:,.0f} s ago"


def _verdicts(found: dict[str, Any]) -> Table:
    columns = ("line", "version", "verdict", "reason", "rollout")
    table = Table(*columns, title="verdicts of the gate, newest first")
    for name, line in found["lines"].items():
        for told in line["verdicts"]:
            said = told["verdict"].replace("_", " ")
            rollout = told["rollout"] or ""
            table.add_row(name, str(told["version"]), said, told["reason"], rollout)
    return table


def _gate(found: dict[str, Any]) -> Table:
    table = Table("line", "version", "stage", "reason", title="rollouts, newest first")
    for name, line in found["lines"].items():
        for rollout in line["gate"]:
            below = rollout["ranks_below"]
            stage = "all replicas" if below is None else f"ranks below {below}"
            stage += "" if rollout["follow_deltas"] else ", no deltas"
            table.add_row(name, str(rollout["version"]), stage, rollout["reason"])
    return table
