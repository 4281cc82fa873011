"""Does the alignment budget hold under drift? Against twins that learn the same without alignment.

Usage: easq budget [--preset quick|evidence|paper] [--drift NAME]... [--out DIR] [--address RAY]
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from easq.study.budget import PRESETS, TOLERANCE, BudgetPlan, Held, floor
from easq.study.budget import judge as judge_budget
from easq.study.budget_page import findings, origin
from easq.study.budget_trial import is_done, run_trial, world
from easq.study.drift import DRIFTS
from jobs.study_output import OUT, Address, Out, Size, Tracking, told_problems, written
from jobs.study_trials import Running, run_trials

Drifts = Annotated[
    list[str] | None,
    typer.Option(
        "--drift", help=f"Of {', '.join(DRIFTS)}; as often as you like, else the preset's."
    ),
]


def budget(
    preset: Size = "quick",
    drift: Drifts = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Hold behaviour's loss at 1 % and at 3 % while simulated viewers change; measure it.

    A training run keeps a budget with loss.alignment = 0, loss.offset = 0.1 (gamma's first value)
    and budget.behaviour_loss_percent = 1: gamma moves online until so much of behaviour NDCG@5 is
    lost.

    Each run is set against a twin that learns the same windows, from the same first weights,
    without alignment. Trials that are done are not done again.
    """
    with told_problems() as console:
        plan = PRESETS[preset]
        plan = plan.among(drift) if drift else plan
        budgeted(plan, out.resolve(), console, address, tracking)


def budgeted(
    plan: BudgetPlan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Run what is missing, print the table and write the page; returns it."""
    console.rule("budget")
    how = Running(is_done, world, run_trial)
    run_trials(plan.trials(), out, console, address, how)
    judged = judge_budget(plan, out)
    console.print(_table(judged))
    found = findings(judged, plan, floor(plan, out))
    page = written("budget", origin(plan), found, out, tracking)
    console.print(f"page: {page}")
    return page


def _table(judged: dict[str, dict[float, Held]]) -> Table:
    table = Table(
        "drift", "budget, %", "lost, %", f"runs within ±{TOLERANCE}", "days", "satisfaction gained"
    )
    for drift, of_drift in judged.items():
        for percent, held in of_drift.items():
            table.add_row(
                drift,
                f"{percent:g}",
                f"{held.mean:.2f}",
                f"{held.runs_within:.0%}",
                f"{held.days_within:.0%}",
                f"{held.gained:+.4f}",
            )
    return table


if __name__ == "__main__":
    typer.run(budget)
