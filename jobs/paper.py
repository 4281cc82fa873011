"""The paper's evidence: Tables 1 and 2, Figs. 3, 5 and 6, the calibration, and an index.

Table 2 is of few users in process; `easq ab` tests over HTTP, `easq budget` the alignment budget.

Usage: easq paper [--preset quick|evidence|paper] [--draws N] [--out DIR] [--address RAY]
"""

import os
import time
from pathlib import Path

import typer
from rich.console import Console

from easq.study.index_page import index
from easq.study.plan import Plan
from easq.study.report import of_plan
from jobs.ab import ab_tested
from jobs.ablate import ablated
from jobs.beyond import went_beyond
from jobs.calibrate import calibrated
from jobs.cluster import ray_cluster
from jobs.compare import compared
from jobs.convergent import converged
from jobs.study_output import (
    OUT,
    Address,
    Draws,
    Out,
    Size,
    Tracking,
    plan_of,
    said_in,
    told_problems,
)
from jobs.sweep import swept


def paper(
    preset: Size = "quick",
    draws: Draws = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Make Tables 1 and 2, Figs. 3, 5 and 6, the curves beyond the paper and the calibration.

    Trials that were done are not done again, so it can be stopped. Table 2 is of 700 users in
    process, in a minute; `easq ab` tests over HTTP, and `easq budget` tests the alignment budget.
    """
    with told_problems() as console:
        written_paper(plan_of(preset, draws), out.resolve(), console, address, tracking)


def written_paper(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Run what is missing and write all pages; returns the index."""
    started = time.perf_counter()
    with ray_cluster(cpus=os.cpu_count() or 1, address=address):
        parts = [
            part(plan, out, console, address, tracking)
            for part in (compared, went_beyond, ablated, swept, converged, calibrated, ab_tested)
        ]
    page = out / "index.html"
    page.write_text(
        index({part.parent.name: said_in(part.parent) for part in parts}, of_plan(plan))
    )
    minutes = (time.perf_counter() - started) / 60
    console.rule()
    console.print(f"all pages: {page}, after {minutes:.1f} minutes")
    return page


if __name__ == "__main__":
    typer.run(paper)
