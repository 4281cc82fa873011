"""Compare simulated worlds with published logs and print every figure beside its target.

Usage: easq calibrate [--views N] [--worlds N] [--out FILE]
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from easq.simulate.calibration import Judged, calibrate
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.study.calibration_page import HEAD, findings, record, row
from easq.study.plan import Plan
from easq.study.report import SIMULATED, Origin
from jobs.study_output import written

ENOUGH_REQUESTS = 30_000
"""A world's in a study's page: seconds; rare figures need `easq calibrate`."""


def calibration(
    views: Annotated[int, typer.Option(min=100_000, help="Views in all, about.")] = 5_000_000,
    worlds: Annotated[int, typer.Option(min=1, help="Worlds to spread them over.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the first world; the others count up.")] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file to write too.")] = None,
) -> None:
    """Print how near the simulated world comes to real logs; exit code 1 where it misses.

    Figures of rare events are judged only where there are views enough: within 1.96 standard errors
    that are wider than the tolerance, nothing is said to be met.
    """
    requests = -(-views // worlds // TrafficConfig().exposed)
    traffic = TrafficConfig(requests=requests)
    configs = [SimulationConfig(seed=seed + n, traffic=traffic) for n in range(worlds)]
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("simulating views", total=views)
        judged = calibrate(configs, lambda done: progress.advance(task, done))
    console.print(table_of(judged, f"{views:,} views in {worlds} worlds"))
    if out is not None:
        out.write_text(json.dumps([record(one) for one in judged], indent=2))
    if any(one.verdict == "missed" for one in judged):
        raise typer.Exit(1)


def table_of(judged: list[Judged], title: str) -> Table:
    """A row a target."""
    table = Table(*HEAD, title=title)
    for one in judged:
        table.add_row(*row(one))
    return table


def calibrated(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Of the plan's worlds, at most `ENOUGH_REQUESTS` of each; write the page and return it."""
    console.rule("calibrate")
    asked = plan.simulation.traffic
    traffic = asked.model_copy(update={"requests": min(asked.requests, ENOUGH_REQUESTS)})
    configs = [
        plan.simulation.model_copy(update={"seed": world, "traffic": traffic})
        for world in plan.worlds
    ]
    judged = calibrate(configs)
    views = len(configs) * traffic.requests * traffic.exposed
    facts = {"worlds": ", ".join(map(str, plan.worlds)), "views": f"{views:,}"}
    origin = Origin(facts, {"plan": plan.model_dump(mode="json")}, [SIMULATED])
    page = written("calibrate", origin, findings(judged, views, len(configs)), out, tracking)
    console.print(f"page: {page}")
    return page


if __name__ == "__main__":
    typer.run(calibration)
