"""Evidence made by hand: what a comparison must find is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from easq.simulate.simulation import SimulationConfig
from easq.study.evidence import Evidence
from easq.study.methods import ALIGNMENT, BASE, GAMMA, Method
from easq.study.plan import Plan
from easq.study.trial import SUMS
from easq.study.user_sums import ALL, BEHAVIOUR, METRICS, PARTS, TOP_Z, TRUTH, UserSums

USERS = 40
Means = Mapping[str, float]
Points = Mapping[str, Sequence[Means]]
METHODS = {
    BASE: Method("EMER", {"model.method": "emer"}),
    "easq": Method("EASQ", {"model.method": "easq"}, ALIGNMENT, (1.0, 2.0)),
    "rival": Method("the rival", {"model.method": "emer_s"}, ALIGNMENT, (1.0, 2.0)),
    "census": Method(
        "the census",
        {"model.method": "easq", ALIGNMENT: 0.0},
        GAMMA,
        (0.1, 0.2),
        "census",
        is_ceiling=True,
    ),
}
PLAN = Plan(worlds=(0, 1), seeds=(0, 1), simulation=SimulationConfig())
STEP = {"world": 0.01, "seed": 0.001}
"""By how much the truth of kept trials rises with each."""


def curve(*gains: float, shown: Sequence[float] | None = None, **more: float) -> list[Means]:
    """Points that cost 2 % and 4 % of a behaviour of .5, and gain so much truth."""
    top = gains if shown is None else shown
    return [
        {BEHAVIOUR: 0.5 * (1 - 0.02 * n), TRUTH: 0.5 + gain, TOP_Z: 0.5 + z, **more}
        for n, (gain, z) in enumerate(zip(gains, top, strict=True), 1)
    ]


def sums(point: Means) -> np.ndarray:
    """[metric, 2, user]: all users alike; .5 where nothing is told, no weight where it is nan."""
    means = np.array([point.get(name, 0.5) for name in METRICS])
    weights = np.broadcast_to(np.isfinite(means)[:, None], (len(METRICS), USERS)).astype(float)
    return np.stack([np.nan_to_num(means)[:, None] * weights, weights], axis=1)


def evidence_of(points: Points) -> Evidence:
    """One world, two seeds."""
    places, first = {}, 0
    for name, of_method in points.items():
        places[name] = slice(first, first + len(of_method))
        first += len(of_method)
    of_seed = np.stack([sums(point) for of_method in points.values() for point in of_method])
    return Evidence([np.stack([of_seed, of_seed])], places)


def keep(points: Points, out: Path, plan: Plan = PLAN) -> None:
    """Finished trials of every world and seed, each world with users of its own."""
    found: dict[Path, dict[str, np.ndarray]] = {}
    worlds = {}
    for world in plan.worlds:
        for seed in plan.seeds:
            for name, of_method in points.items():
                for means, point in zip(of_method, METHODS[name].points(), strict=True):
                    folder = out / "trials" / plan.trial(world, seed, point).key
                    truth = means.get(TRUTH, 0.5) + world * STEP["world"] + seed * STEP["seed"]
                    found.setdefault(folder, {})[point.ranking] = sums({**means, TRUTH: truth})
                    worlds[folder] = world
    scenarios = (ALL, *plan.scenarios)
    for folder, rankings in found.items():
        folder.mkdir(parents=True)
        size = (len(rankings), len(PARTS), len(scenarios), len(METRICS), 2, USERS)
        table = np.broadcast_to(np.stack(list(rankings.values()))[:, None, None], size)
        users = np.arange(USERS) + 1000 * worlds[folder]
        UserSums(tuple(rankings), scenarios, users, table).write(folder / SUMS)
