"""Compare EASQ with its rivals at equal behaviour: Table 1, curves, one number a method.

Usage: easq compare [--preset quick|evidence|paper] [--draws N] [--methods A,B] [--out DIR]
"""

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console

from easq.study.compare import compare as judge
from easq.study.compare_page import findings
from easq.study.measures import SUBJECT
from easq.study.methods import METHODS, Method, only
from easq.study.plan import Plan
from easq.study.report import of_plan
from jobs.study_output import (
    OUT,
    Address,
    Draws,
    Methods,
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
    methods: Methods = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Train every method at every value of its knob, and compare them at equal behaviour."""
    with told_problems() as console:
        chosen = only(METHODS, methods, SUBJECT)
        compared(plan_of(preset, draws), out.resolve(), console, address, tracking, chosen)


def compared(
    plan: Plan,
    out: Path,
    console: Console,
    address: str | None,
    tracking: str | None,
    methods: Mapping[str, Method] = METHODS,
) -> Path:
    """Run what is missing and write the page; returns it."""
    console.rule("compare")
    run_trials(plan.trials(methods), out, console, address)
    found = findings(judge(plan, methods, out), methods)
    page = written("compare", of_plan(plan), found, out, tracking)
    console.print(f"page: {page}")
    return page


if __name__ == "__main__":
    typer.run(compare)
