"""What is in a simulated history, and how much of the truth its behaviour tells."""

from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from easq.events import BEHAVIOURS
from easq.history import History
from easq.samples import Flat, flatten
from easq.simulate.headroom import headroom
from easq.simulate.simulation import SimulationConfig
from easq.simulate.truth import read_truth

ENOUGH_REQUESTS = 20_000
"""On which rankings are compared; more requests are not needed, and might not fit in memory."""


class Seen(NamedTuple):
    """The views of a day."""

    behaviours: dict[str, int]
    watch_ratio: np.ndarray  # float32, one a view


def report(console: Console, history: History, config: SimulationConfig) -> None:
    """Print what happened in all views, and what rankings find of the truth in the first days."""
    console.print(_happened(history, config))
    console.print(_found(history, config))
    console.print(f"samples and truth: {history.root}")


def _happened(history: History, config: SimulationConfig) -> Table:
    days = [_seen(flatten(history.read(day))) for day in history.windows()]
    ratios = np.concatenate([day.watch_ratio for day in days])
    views = len(ratios)
    counts = {name: sum(day.behaviours[name] for day in days) for name in BEHAVIOURS}
    counts |= {f"answer {name}": n for name, n in history.description.answers.items()}
    table = Table("of the views", "share", "count", title=f"{views:,} views")
    for name, count in counts.items():
        table.add_row(name, f"{count / views:.5f}", f"{count:,}")
    quartiles = np.quantile(ratios, (0.25, 0.5, 0.75))
    table.add_row("watch ratio, quartiles", " / ".join(f"{r:.2f}" for r in quartiles), "")
    table.add_row("questionnaire", config.questionnaire, "")
    return table


def _seen(flat: Flat) -> Seen:
    ratio = (flat.watched_seconds / flat.duration_seconds)[flat.exposed]
    return Seen({name: int(did.sum()) for name, did in flat.behaviours.items()}, ratio)


def _found(history: History, config: SimulationConfig) -> Table:
    before = accumulate((day.requests for day in history.description.days), initial=0)
    days = [day for day, n in zip(history.windows(), before, strict=False) if n < ENOUGH_REQUESTS]
    samples = pa.concat_tables(history.read(day) for day in days)
    table = Table(
        "ranking by",
        "NDCG@5",
        title="True satisfaction, gain 1 where satisfied",
        caption=f"of {samples.num_rows:,} requests",
    )
    truth, above = read_truth(history, len(days)), config.world.satisfied_above
    for name, value in headroom(flatten(samples), truth, above, config.seed).items():
        table.add_row(name, f"{value:.3f}")
    return table
