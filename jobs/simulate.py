"""Simulate requests of viewers whose true satisfaction is known, and say what is in them.

Usage: easq simulate [OUT] [--requests N | --visits] [--seed N]
       [--questionnaire paper|accelerated|census]
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from easq.events import BEHAVIOURS
from easq.history import History
from easq.history_write import check_replaceable
from easq.samples import Flat, flatten
from easq.simulate.answers import Pace
from easq.simulate.generate import write_simulation
from easq.simulate.headroom import headroom
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth
from easq.simulate.visits import VisitConfig
from easq.simulate.world import WorldConfig


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
) -> None:
    """Write simulated samples with the truth beside them, and print what behaviour misses."""
    if visits and requests is not None:
        raise ValueError("with --visits viewers decide how many requests there are: no --requests")
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
        history = write_simulation(out, config, lambda done: progress.advance(task, done))
    _report(console, history, config)


def _report(console: Console, history: History, config: SimulationConfig) -> None:
    samples = pa.concat_tables(history.read(window) for window in history.windows())
    flat = flatten(samples)
    console.print(_happened(flat, history, config))
    table = Table("ranking by", "NDCG@5", title="True satisfaction, gain 1 where satisfied")
    truth = read_truth(history)
    above = config.world.satisfied_above
    for name, value in headroom(flat, truth, above, config.seed).items():
        table.add_row(name, f"{value:.3f}")
    console.print(table)
    console.print(f"samples and truth: {history.root}")


def _happened(flat: Flat, history: History, config: SimulationConfig) -> Table:
    views = int(flat.exposed.sum())
    table = Table("of the views", "share", "count", title=f"{views:,} views")
    for name in BEHAVIOURS:
        count = int(flat.behaviours[name].sum())
        table.add_row(name, f"{count / views:.5f}", f"{count:,}")
    for name, count in history.description.answers.items():
        table.add_row(f"answer {name}", f"{count / views:.5f}", f"{count:,}")
    ratio = np.quantile(
        (flat.watched_seconds / flat.duration_seconds)[flat.exposed], (0.25, 0.5, 0.75)
    )
    table.add_row("watch ratio, quartiles", " / ".join(f"{r:.2f}" for r in ratio), "")
    table.add_row("questionnaire", config.questionnaire, "")
    return table


if __name__ == "__main__":
    typer.run(simulate)
