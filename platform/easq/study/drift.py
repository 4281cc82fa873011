"""Worlds that change: tastes turn day by day, and at one midnight something else changes too."""

from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from easq.history import History
from easq.history_folder import building, complete
from easq.history_write import describe
from easq.simulate.columns import feature_spec
from easq.simulate.generate import simulated_source, write_simulated, write_simulation
from easq.simulate.simulation import SimulationConfig

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
    """Simulate the days of each, and write them as one history with truth."""
    if world.after == world.before:
        return write_simulation(root, world.before)
    days, spec = range(world.before.traffic.days), feature_spec(world.before)
    with building(root) as folder:
        before = write_simulated(folder, world.before, days[: world.day])
        after = write_simulated(folder, world.after, days[world.day :])
        sources = [simulated_source(world.before, before), simulated_source(world.after, after)]
        description = describe("simulated, drifting", spec, [*before, *after], sources)
        return complete(root, folder, description)
