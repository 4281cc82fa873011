"""All that can be seen of a running loop: its state file, its log and its services."""

import json
import math
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from easq.log.connect import open_log
from easq.log.interface import EVENTS, SAMPLES, Log
from easq.train.behind import Taker, seconds_behind, told_behind, training
from easq.train.run_folder import waiting_versions
from easq.train.turn import last_turn
from jobs.freshness_watch import UNKNOWN, joining_by
from jobs.line_look import ends, look_at_line, verdicts
from jobs.replica_report import replica_report

ASKED = 20
"""So often the front door is asked, to meet each replica."""


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
        "log": {topic: ends(log, topic) for topic in (EVENTS, SAMPLES)},
        "join": _json(Path(state["join_status"])),
        "lines": {
            name: look_at_line(places["run"], places["models"])
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


def _json(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None
