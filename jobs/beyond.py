"""Compare what goes beyond the paper with EASQ and the blend, at equal behaviour.

Usage: easq beyond [--preset quick|evidence|paper] [--draws N] [--methods A,B] [--out DIR]
"""

from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console

from easq.study.beyond import BEYOND, QUESTION, SUBJECT
from easq.study.compare import compare as judge
from easq.study.compare_page import findings
from easq.study.methods import Method, only
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


def beyond(
    preset: Size = "quick",
    draws: Draws = None,
    methods: Methods = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Train EASQ with rows of its own for satisfaction and with an offset, and compare."""
    with told_problems() as console:
        chosen = only(BEYOND, methods, SUBJECT)
        went_beyond(plan_of(preset, draws), out.resolve(), console, address, tracking, chosen)


def went_beyond(
    plan: Plan,
    out: Path,
    console: Console,
    address: str | None,
    tracking: str | None,
    methods: Mapping[str, Method] = BEYOND,
) -> Path:
    """Run what is missing and write the page; returns it."""
    console.rule("beyond")
    run_trials(plan.trials(methods), out, console, address)
    found = findings(judge(plan, methods, out, SUBJECT), methods, QUESTION)
    page = written("beyond", of_plan(plan), found, out, tracking)
    console.print(f"page: {page}")
    return page


if __name__ == "__main__":
    typer.run(beyond)
