"""Worlds that change: tastes turn day by day, and at one midnight something else changes too."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from easq.history import History, write_history
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import DAY_MS
from easq.simulate.truth import read_truth

TURNING = 0.1
"""Radians by which a taste turns in a day, twice that of a simulation by default."""


class Drift(NamedTuple):
    """What changes: keys of SimulationConfig, and what they become."""

    title: str
    changes: dict[str, Any]


DRIFTS: dict[str, Drift] = {
    "steady": Drift("tastes turn by 0.1 rad a day, and nothing else changes", {}),
    "taste": Drift(
        "tastes turn at once by 0.9 rad, then by 0.25 rad a day",
        {"world": {"drift_per_day": 0.25}},
    ),
    "clickbait": Drift(
        "clickbait attracts half as much again, and disappoints twice as much",
        {"behaviour": {"clickbait": 4.2}, "world": {"clickbait": 4.8}},
    ),
    "answers": Drift("one answer is given where 340 were", {"questionnaire": "paper"}),
}
"""All with tastes that turn from the first day on."""


class DriftingWorld(BaseModel):
    """Two simulations of the same viewers, videos and requests, joined at a midnight."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: SimulationConfig
    after: SimulationConfig
    day: int = Field(ge=1)
    """The first day of `after`, counted from 0."""

    @classmethod
    def of(cls, simulation: SimulationConfig, drift: Drift, day: int) -> Self:
        """`simulation` with tastes that turn, and from `day` on with the drift."""
        before = _changed(simulation, {"world": {"drift_per_day": TURNING}})
        return cls(before=before, after=_changed(before, drift.changes), day=day)


def _changed(simulation: SimulationConfig, changes: dict[str, Any]) -> SimulationConfig:
    tree = simulation.model_dump()
    for name, value in changes.items():
        tree[name] = tree[name] | value if isinstance(value, dict) else value
    return SimulationConfig.model_validate(tree)


def write_drifting(root: Path, world: DriftingWorld) -> History:
    """Simulate both, and write the days of each as one history with truth."""
    if world.after == world.before:
        return write_simulation(root, world.before)
    folders = [root.with_name(f".{root.name}.{part}") for part in ("before", "after")]
    before, after = map(write_simulation, folders, (world.before, world.after))
    switch_ms = world.before.traffic.start_ms + world.day * DAY_MS
    history = write_history(
        root,
        "simulated, drifting",
        before.description.features,
        _joined(_samples(before), _samples(after), switch_ms),
        [*before.description.sources, *after.description.sources],
        truth=_joined(read_truth(before), read_truth(after), switch_ms),
    )
    for folder in folders:
        shutil.rmtree(folder)
    return history


def _samples(history: History) -> pa.Table:
    return pa.concat_tables(history.read(day) for day in history.windows())


def _joined(before: pa.Table, after: pa.Table, switch_ms: int) -> pa.Table:
    at = "request_time_ms"
    return pa.concat_tables(
        [before.filter(pc.field(at) < switch_ms), after.filter(pc.field(at) >= switch_ms)]
    )
