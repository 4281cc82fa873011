"""Compare EASQ with its rivals at equal behaviour: Table 1, curves, one number a method.

Usage: easq compare [--preset quick|evidence|paper] [--draws N] [--out DIR] [--address RAY]
"""

from pathlib import Path

import typer
from rich.console import Console

from easq.study.compare import compare as judge
from easq.study.compare_page import findings
from easq.study.methods import METHODS
from easq.study.plan import Plan
from easq.study.report import of_plan
from jobs.study_output import (
    OUT,
    Address,
    Draws,
    Out,
    Size,
    Tracking,
    plan_of,
    told_problems,
    written,
)
from jobs.study_trials import run_trials


def compare(
    preset: Size = "quick",
    draws: Draws = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Train every method at every value of its knob, and compare them at equal behaviour."""
    with told_problems() as console:
        compared(plan_of(preset, draws), out.resolve(), console, address, tracking)


def compared(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Run what is missing and write the page; returns it."""
    console.rule("compare")
    run_trials(plan.trials(METHODS), out, console, address)
    found = findings(judge(plan, METHODS, out), METHODS)
    page = written("compare", of_plan(plan), found, out, tracking)
    console.print(f"page: {page}")
    return page


if __name__ == "__main__":
    typer.run(compare)
