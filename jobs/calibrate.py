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
        out.write_text(json.dumps([_record(j) for j in judged], indent=2))
    if any(one.verdict == "missed" for one in judged):
        raise typer.Exit(1)


def table_of(judged: list[Judged], title: str) -> Table:
    """A row a target."""
    table = Table("figure", "target", "source", "measured", "± s.e.", "", title=title)
    for one in judged:
        target, (value, error) = one.target, one.measured
        shown = f"{value:.4g}", f"{error:.1g}"
        table.add_row(target.figure, target.aim, target.source, *shown, one.verdict)
    return table


def _record(judged: Judged) -> dict:
    target, measured = judged
    figure = {name: float(value) for name, value in measured._asdict().items()}
    return target._asdict() | figure | {"verdict": judged.verdict}


if __name__ == "__main__":
    typer.run(calibration)
