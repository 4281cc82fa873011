"""How the loop is doing: parts, and of each model line versions, windows, lag, the gate.

Usage: easq status [FOLDER] [--json]
"""

import json
import math
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from easq.log.connect import open_log
from easq.log.interface import EVENTS, MODELS, SAMPLES, Log, LogError
from easq.registry_aliases import newest_tags
from easq.registry_client import MlflowError
from easq.rollout import lane_stopped
from easq.rollout_log import held_from, newest_rollout
from easq.train.behind import Taker, seconds_behind, told_behind, training
from easq.train.lines import last_line
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import QUARANTINE, WINDOWS, waiting_versions
from easq.train.turn import last_turn
from jobs.freshness_watch import UNKNOWN, joining_by
from jobs.gatekeeper import AFTER, REASON, ROLLED_OUT, VERDICT
from jobs.replica_report import replica_report
from jobs.status_tables import tables

ASKED = 20
"""So often the front door is asked, to meet each replica."""
TAIL = 512
VERSIONS = 5
WAITING = "it waits for enough requests that no version has learnt"


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
    for sentence in found["alarms"]:
        console.print(sentence, style="bold red", soft_wrap=True)
    for table in tables(found):
        console.print(table)


def look(state: dict[str, Any]) -> dict[str, Any]:
    """All that `easq status` tells, from the state file of a running loop."""
    log = open_log(state["log"])
    behind = _behind(log, state)
    runs = [Path(line["run"]) for line in state["lines"].values()]
    return {
        "addresses": {name: state[name] for name in ("url", "mlflow")},
        "behind_seconds": {taker.name: seconds for taker, seconds in behind},
        "alarms": [told_behind(*late) for late in behind if late[1] > late[0].limit_seconds],
        "parts": state["parts"],
        "driver": last_turn(runs[0]),
        "mlflow": mlflow(state["mlflow"], runs),
        "replicas": replicas(state["url"]),
        "log": {topic: _ends(log, topic) for topic in (EVENTS, SAMPLES)},
        "join": _json(Path(state["join_status"])),
        "lines": {
            name: _line(places["run"], places["models"])
            | {"verdicts": verdicts(state["mlflow"], name)}
            for name, places in state["lines"].items()
        },
    }


def _behind(log: Log, state: dict[str, Any]) -> list[tuple[Taker, float]]:
    """How far joiner and trainings are behind; without those that cannot be told."""
    fresh = {name: line.get("fresh_seconds", math.inf) for name, line in state["lines"].items()}
    joiner = joining_by(Path(state["join_status"]), next(iter(fresh.values())))
    trainings = [
        training(name, Path(line["run"]), fresh[name]) for name, line in state["lines"].items()
    ]
    now = time.time_ns() // 1_000_000
    found = []
    for taker in (joiner, *trainings):
        with suppress(*UNKNOWN):
            found.append((taker, seconds_behind(log, taker, now)))
    return found


def _line(run: str, models: str) -> dict[str, Any]:
    log = open_log(models)
    return {
        "training": _training(Path(run)),
        "announced": _ends(log, MODELS),
        "lane": _lane(log),
        "gate": decisions(log),
    }


def _lane(log: Log) -> str:
    """Whether deltas are served, or why the gate or a rollback has stopped them."""
    try:
        stopped = lane_stopped(newest_rollout(log))
    except LogError as error:
        return f"not known: {error}"
    return "deltas are served" if stopped is None else f"stopped: {stopped}"


def verdicts(mlflow: str, model_name: str) -> list[dict[str, Any]]:
    """What the gate has said of the newest versions, newest first; none when MLflow is away."""
    try:
        found = newest_tags(mlflow, model_name, VERSIONS)
    except (MlflowError, ValueError):
        return []
    return [
        {
            "version": version,
            "verdict": tags.get(VERDICT, "waits"),
            "reason": tags.get(REASON, WAITING),
            "rollout": tags.get(ROLLED_OUT),
        }
        for version, tags in found
        if AFTER in tags or VERDICT in tags
    ]


def replicas(url: str) -> dict[str, Any]:
    """What each replica of the service says of itself, by its name; none when it is away."""
    seen: dict[str, Any] = {}
    for _ in range(ASKED):
        if (report := replica_report(url)) is not None:
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
        "age_seconds": _age_seconds(last),
        "left_out": last_line(run / QUARANTINE),
        "checkpoint": checkpoint and read_position(checkpoint).model_dump(),
    }


def _age_seconds(window: dict[str, Any] | None) -> float | None:
    """Since a window was learnt; None: its line does not tell."""
    if window is None or "learnt_at" not in window:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(window["learnt_at"])).total_seconds()


def decisions(log: Log) -> list[dict[str, Any]]:
    """The last rollouts, newest first."""
    try:
        begin, end = log.begin(MODELS, 0), log.end(MODELS, 0)
        told = {one.seq: one for one in held_from(log, max(begin, end - TAIL), end)}
    except LogError:
        return []
    newest = sorted(told.values(), key=lambda one: one.seq, reverse=True)[:5]
    return [
        {"at_ms": one.made_at_ms, **one.rollout.model_dump(exclude={"repeats", "decided_on"})}
        for one in newest
    ]
