"""Do answers agree with behaviour? On simulated viewers or any history (the paper's Fig. 3).

Usage: easq convergent [--data HISTORY] [--preset quick|evidence|paper] [--out DIR] [--address RAY]
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import ray
import typer
from rich.console import Console

from easq.history import History, Window
from easq.study.convergent import Counts, added, counts
from easq.study.convergent import convergent as judge
from easq.study.convergent_page import findings
from easq.study.methods import BASE, METHODS
from easq.study.plan import PRESETS, Plan
from easq.study.report import of_histories
from easq.study.trial import Trial, world
from jobs.cluster import ray_cluster
from jobs.study_output import OUT, Address, Out, Size, Tracking, told_problems, written


def convergent(
    data: Annotated[
        Path | None, typer.Option(help="A folder of samples; without it, the preset's worlds.")
    ] = None,
    preset: Size = "quick",
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Set behaviour on answered views against the same viewers' average."""
    with told_problems() as console:
        if data is None:
            converged(PRESETS[preset], out.resolve(), console, address, tracking)
        else:
            _converged([data.resolve()], out.resolve(), console, address, tracking)


def converged(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Of the plan's worlds; write the page and return it."""
    [base] = METHODS[BASE].points()
    trials = [plan.trial(seed, plan.seeds[0], base) for seed in plan.worlds]
    with ray_cluster(cpus=os.cpu_count() or 1, address=address):
        roots = ray.get([_world.remote(trial, out) for trial in trials])
        return _converged(roots, out, console, address, tracking)


def _converged(
    roots: Sequence[Path], out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Days are counted as Ray tasks, and counts add."""
    console.rule("convergent")
    histories = [History.open(root) for root in roots]
    for history in histories:
        if not any(history.description.answers.values()):
            raise ValueError(f"{history.root} holds no answers; there is nothing to compare")
    with ray_cluster(cpus=os.cpu_count() or 1, address=address):
        days = [[_count.remote(h.root, day) for day in h.windows()] for h in histories]
        counted = [added(ray.get(of_history)) for of_history in days]
    data = ", ".join(f"{h.description.name} {h.description.digest}" for h in histories)
    found = findings(judge(counted), data)
    page = written("convergent", of_histories(histories), found, out, tracking)
    console.print(f"page: {page}")
    return page


@ray.remote(num_cpus=1)
def _world(trial: Trial, out: Path) -> Path:
    return world(trial, out).root


@ray.remote(num_cpus=1)
def _count(root: Path, day: Window) -> Counts:
    return counts(History.open(root).read(day))


if __name__ == "__main__":
    typer.run(convergent)
