"""Under steady viewers no part of the loop takes more and more memory.

STEADY_MINUTES says for how long it is watched (10), after a warm-up.
"""

import json
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from jobs.loop import STATE
from jobs.loop_look import look

from .conftest import PATIENCE_SECONDS, family, resident_mb
from .test_faults import check_events, under_load

MINUTES = float(os.environ.get("STEADY_MINUTES", "10"))
pytestmark = [
    pytest.mark.ray,
    pytest.mark.soak,
    pytest.mark.timeout(900 + 120 * MINUTES),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

WARM_SECONDS, LOOK_SECONDS = 150.0, 5.0
BLOCK = 6
"""Looks whose mean is a point of the line: memory swings within a window."""
FEEDBACK_SECONDS, TOKENS = 15.0, {"token_seconds": "30"}
MOST_MEGABYTES, MOST_MEGABYTES_OF_ALL = 8.0, 24.0
"""That a part may gain over all the minutes, beyond twice the standard error."""
ALL = "all"
FORGETS_SOON = f"""
[pairs]
window_days = {60 / 86_400}
"""
"""What is kept for an hour, or for a month, would still fill up."""
AS_USUAL = {
    "checkpoint_windows": 60,
    "pass_windows": 3600,
    "register_every_minutes": 2,
    "gate": "true",
    "more": FORGETS_SOON,
}
"""But for the versions, which come every five minutes otherwise."""


class Trend(NamedTuple):
    """Memory of all processes of a kind, MB of their own."""

    processes: int
    begins: float
    ends: float
    hourly: float
    error: float  # standard error of `hourly`


def test_under_steady_viewers_no_part_grows(stage, tmp_path, capsys):
    with stage(1500, 2, FEEDBACK_SECONDS, serving=TOKENS, **AS_USUAL) as it:
        it.wait_until(it.stands_by)
        with under_load(it, tmp_path / "viewers.jsonl", capsys) as drill:
            it.wait_until(lambda: judges_the_second(it), 2 * PATIENCE_SECONDS)
            drill.watch(WARM_SECONDS)
            looks, began = [], time.monotonic()
            while time.monotonic() < began + 60 * MINUTES:
                looks.append(memory(it))
                drill.watch(LOOK_SECONDS)
            assert drill.failed() == 0
        check_events(it, tmp_path / "viewers.jsonl", capsys)
        restarts = {n: part["restarts"] for n, part in it.loop.supervisor.report().items()}
    (tmp_path / "looks.json").write_text(json.dumps(looks))
    found = trends(looks, 60 * MINUTES / len(looks))
    with capsys.disabled():
        show(found, restarts)
    assert set(restarts.values()) == {0}
    hours = MINUTES / 60
    surely = {name: (t.hourly - 2 * t.error) * hours for name, t in found.items()}
    assert surely.pop(ALL) < MOST_MEGABYTES_OF_ALL
    assert {name: mb for name, mb in surely.items() if mb > MOST_MEGABYTES} == {}


def judges_the_second(stage) -> bool:
    """The first version is not compared; with the second the gate takes the room that it keeps."""
    state = json.loads((stage.loop.folder / STATE).read_text())
    return len(look(state)["lines"]["easq-ranker"]["verdicts"]) > 1


def memory(stage) -> dict[str, list[float]]:
    """MB of each process, by the part of the loop and what it calls itself."""
    found = defaultdict(list)
    for name, part in stage.loop.supervisor.report().items():
        for process, command in family(part["pid"]).items() if part["pid"] else ():
            try:
                found[kind(name, command)].append(resident_mb(process.pid))
            except (FileNotFoundError, ProcessLookupError, IndexError):
                continue  # it has just ended
    return found


def kind(part: str, command: bytes) -> str:
    """`part: what it is`; idle processes of Ray take any task in turn, and stand together."""
    title = command.replace(b"\0", b" ").decode(errors="replace").strip()
    if title.startswith("ray::"):
        name = title.removeprefix("ray::").split(":")[0].split(".")[0].split("(")[0].split(" ")[0]
        kept = (
            "RayTrainWorker",
            "TrainController",
            "ServeReplica",
            "ServeController",
            "ProxyActor",
        )
        return f"{part}: {name}" if name in kept else f"{part}: readers, spares and other tasks"
    for name in ("gcs_server", "raylet", "haproxy"):
        if name in title.split(" ")[0]:
            return f"{part}: {name}"
    return part


def trends(looks: list[dict[str, list[float]]], seconds: float) -> dict[str, Trend]:
    """Of each kind of process, and of all; `seconds` from look to look."""
    kinds = sorted({name for look in looks for name in look})
    series = {name: [look.get(name, []) for look in looks] for name in kinds}
    series[ALL] = [[mb for name in look for mb in look[name]] for look in looks]
    return {name: trend(values, seconds) for name, values in series.items()}


def trend(values: list[list[float]], seconds: float) -> Trend:
    """A straight line through the means of blocks."""
    whole = len(values) // BLOCK * BLOCK
    means = np.array([sum(each) for each in values[:whole]]).reshape(-1, BLOCK).mean(1)
    hours = np.arange(len(means)) * BLOCK * seconds / 3600
    (slope, _), covariance = np.polyfit(hours, means, 1, cov=True)
    return Trend(len(values[-1]), means[0], means[-1], slope, float(covariance[0, 0]) ** 0.5)


def show(found: dict[str, Trend], restarts: dict[str, int]) -> None:
    table = Table("part", "processes", "MB", "MB an hour", title=f"{MINUTES:g} minutes of viewers")
    for name, t in found.items():
        slope = f"{t.hourly:+.1f} ± {2 * t.error:.1f}"
        table.add_row(name, str(t.processes), f"{t.begins:.1f} -> {t.ends:.1f}", slope)
    Console(soft_wrap=True, width=110).print(table)
    figures = {name: [round(x, 2) for x in t] for name, t in found.items()}
    print(json.dumps({"name": "steady", "restarts": restarts} | figures), flush=True)
