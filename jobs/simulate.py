"""Simulate requests of viewers whose true satisfaction is known, and say what is in them.

Usage: easq simulate [OUT] [--requests N [--address RAY] | --visits] [--seed N]
       [--questionnaire paper|accelerated|census]
"""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from easq.history_folder import check_replaceable
from easq.simulate.answers import Pace
from easq.simulate.generate import WriteDays, in_turn, write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.visits import VisitConfig
from easq.simulate.world import WorldConfig
from jobs.simulate_days import beside_each_other
from jobs.simulate_report import report

WORTH_RAY = 500_000
"""Requests from which a second core gains more than the start of Ray takes."""


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; an older one is replaced.")] = Path(
        ".easq/simulated"
    ),
    requests: Annotated[
        int | None, typer.Option(min=1, help="Requests; each shows 8 videos. 20,000 by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same samples.")] = 7,
    users: Annotated[int, typer.Option(min=1, help="Viewers.")] = 1_000,
    items: Annotated[int, typer.Option(min=1, help="Videos.")] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="Days the requests are spread over.")] = 7,
    questionnaire: Annotated[
        Pace,
        typer.Option(help="Answers as rare as in the paper, 340 times as many, or on every view."),
    ] = "accelerated",
    visits: Annotated[
        bool,
        typer.Option(
            "--visits", help="Viewers stay and return by satisfaction, and --requests is left out."
        ),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of a Ray cluster that simulates the days, all nodes of which see OUT. "
            f"Without it and RAY_ADDRESS, this machine: with Ray from {WORTH_RAY:,} requests on, "
            "a day a core."
        ),
    ] = None,
) -> None:
    """Write simulated samples with the truth beside them, and print what behaviour misses."""
    if visits and requests is not None:
        raise ValueError("with --visits viewers decide how many requests there are: no --requests")
    if visits and address is not None:
        raise ValueError("with --visits a day follows from the one before it: no --address")
    traffic = TrafficConfig(days=days, requests=requests or TrafficConfig().requests)
    config = SimulationConfig(
        seed=seed,
        world=WorldConfig(users=users, items=items),
        traffic=traffic,
        questionnaire=questionnaire,
        visits=VisitConfig() if visits else None,
    )
    check_replaceable(out.resolve())
    console = Console()
    with Progress(console=console) as progress:
        task = progress.add_task("simulating requests", total=None if visits else traffic.requests)
        how = _how(config, address)
        history = write_simulation(out, config, lambda done: progress.advance(task, done), how)
    report(console, history, config)


def _how(config: SimulationConfig, address: str | None) -> WriteDays:
    at_once = min(os.cpu_count() or 1, config.traffic.days)
    large = config.traffic.requests >= WORTH_RAY and at_once > 1
    if config.visits is None and (address or large):
        return partial(beside_each_other, address=address)
    return in_turn


if __name__ == "__main__":
    typer.run(simulate)
