"""How the loop is doing: parts, and of each model line versions, windows, lag, the gate.

Usage: easq status [FOLDER] [--json]
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from easq.log.connect import open_log
from easq.log.interface import EVENTS, MODELS, SAMPLES, Log, LogError
from easq.rollout import rollouts
from easq.train.lines import last_line
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import QUARANTINE, WINDOWS, waiting_versions
from easq.train.turn import last_turn
from jobs.loop import DRIVERS

ASKED = 20
"""So often the front door is asked, to meet each replica."""
TAIL = 512
SHOWN = ("next_offset", "lag_ms", "next_window", "open_requests", "kept_requests")
"""What of the joiner's status is told."""


def status(
    folder: Annotated[Path, typer.Argument(help="Where `easq up` keeps its state.")] = Path(
        ".easq/up"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what runs, what is served and what waits."""
    path = folder / "up.json"
    if not path.is_file():
        raise ValueError(f"nothing runs here: {path} is missing. Start the loop with `easq up`.")
    found = look(json.loads(path.read_text()))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console()
    for table in tables(found):
        console.print(table)


def look(state: dict[str, Any]) -> dict[str, Any]:
    """All that `easq status` tells, from the state file of a running loop."""
    log = open_log(state["log"])
    runs = [Path(line["run"]) for line in state["lines"].values()]
    return {
        "addresses": {name: state[name] for name in ("url", "mlflow")},
        "parts": state["parts"],
        "driver": last_turn(runs[0]),
        "mlflow": mlflow(state["mlflow"], runs),
        "replicas": replicas(state["url"]),
        "log": {topic: _ends(log, topic) for topic in (EVENTS, SAMPLES)},
        "join": _json(Path(state["join_status"])),
        "lines": {name: _line(**places) for name, places in state["lines"].items()},
    }


def _line(run: str, models: str) -> dict[str, Any]:
    log = open_log(models)
    return {
        "training": _training(Path(run)),
        "announced": _ends(log, MODELS),
        "gate": decisions(log),
    }


def replicas(url: str) -> dict[str, Any]:
    """What each replica of the service says of itself, by its name; none when it is away."""
    seen: dict[str, Any] = {}
    key = {"x-api-key": os.environ["EASQ_API_KEY"]} if "EASQ_API_KEY" in os.environ else {}
    question = urllib.request.Request(f"{url}/v1/model", headers=key)
    for _ in range(ASKED):
        try:
            with urllib.request.urlopen(question, timeout=2) as response:
                report = json.loads(response.read())
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            continue
        seen[report["replica"]] = report
    return seen


def mlflow(url: str, runs: list[Path]) -> dict[str, Any]:
    """Whether MLflow answers, and how many versions wait until it takes them."""
    try:
        urllib.request.urlopen(f"{url}/health", timeout=2).close()
    except urllib.error.HTTPError:
        problem = None
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        problem = None
    return {"problem": problem, "waiting": sum(len(waiting_versions(run)) for run in runs)}


def _ends(log: Log, topic: str) -> dict[int, int] | str:
    try:
        return {p: log.end(topic, p) for p in range(log.partitions(topic))}
    except LogError as error:
        return str(error)


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _training(run: Path) -> dict[str, Any] | None:
    """The last window and the position of the newest checkpoint."""
    last = last_line(run / WINDOWS)
    checkpoint = newest_checkpoint(run) if run.is_dir() else None
    if last is None and checkpoint is None:
        return None
    return {
        "last_window": last,
        "left_out": last_line(run / QUARANTINE),
        "checkpoint": checkpoint and read_position(checkpoint).model_dump(),
    }


def decisions(log: Log) -> list[dict[str, Any]]:
    """The last rollouts, newest first."""
    try:
        begin, end = log.begin(MODELS, 0), log.end(MODELS, 0)
        told = {one.seq: one for one in rollouts(log, max(begin, end - TAIL), end)}
    except LogError:
        return []
    newest = sorted(told.values(), key=lambda one: one.seq, reverse=True)[:5]
    return [
        {"at_ms": one.made_at_ms, **one.rollout.model_dump(exclude={"repeats"})} for one in newest
    ]


def tables(found: dict[str, Any]) -> list[Table]:
    return [_parts(found), replica_table(found), _lags(found), _lines(found), _gate(found)]


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
            live, problem = told["live"] or {}, told["refresh"]["problem"] or ""
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
        yield "last window learnt", f"{last['window']}{lag}"
    if left_out := training.get("left_out"):
        removed = left_out.get("removed", 0)
        kept = f" ({removed} older files of rows were removed)" if removed else ""
        yield "last window left out", f"{left_out['window']}: {left_out['reason']}{kept}"
    if checkpoint := training.get("checkpoint"):
        learnt = f"{checkpoint['next_window']} windows, {checkpoint['requests']:,} requests"
        yield "checkpoint", f"{learnt}, samples up to {checkpoint['offsets']}"
    yield "announcements", str(line["announced"])


def _gate(found: dict[str, Any]) -> Table:
    table = Table("line", "version", "stage", "reason", title="rollouts, newest first")
    for name, line in found["lines"].items():
        for rollout in line["gate"]:
            below = rollout["ranks_below"]
            stage = "all replicas" if below is None else f"ranks below {below}"
            table.add_row(name, str(rollout["version"]), stage, rollout["reason"])
    return table
