"""Leave out EASQ's parts one by one, and try the readings of Eq. 16 (the paper's Fig. 5).

Usage: easq ablate [--preset quick|evidence|paper] [--draws N] [--out DIR] [--address RAY]
"""

from pathlib import Path

import typer
from rich.console import Console

from easq.study.plan import Plan
from easq.study.report import of_plan
from easq.study.variants import COMPARED, PARTS, READINGS, judge_variants
from easq.study.variants_page import ablation
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


def ablate(
    preset: Size = "quick",
    draws: Draws = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Train EASQ without each of its parts and with other readings of its loss."""
    with told_problems() as console:
        ablated(plan_of(preset, draws), out.resolve(), console, address, tracking)


def ablated(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Run what is missing and write the page; returns it."""
    console.rule("ablate")
    variants = {**PARTS, **READINGS}
    run_trials(plan.trials({**COMPARED, **variants}), out, console, address)
    page = written(
        "ablate", of_plan(plan), ablation(judge_variants(plan, variants, out)), out, tracking
    )
    console.print(f"page: {page}")
    return page


if __name__ == "__main__":
    typer.run(ablate)
