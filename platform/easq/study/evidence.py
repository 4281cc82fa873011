"""The finished trials of a comparison as arrays whose points line up across worlds and seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from easq.study.methods import BASE, Method, Point
from easq.study.plan import Plan
from easq.study.trial import read_sums
from easq.study.user_sums import ANSWERS, BEHAVIOUR, GAUC, METRICS, TOP_Z, TRUTH

MEASURES = (TRUTH, TOP_Z, ANSWERS[0])
"""Satisfaction: NDCG@5 of the truth, mean z of what would be shown, NDCG@5 of answers."""


class Evidence(NamedTuple):
    """Of one part and scenario; P points of all methods, each method's beside each other."""

    worlds: list[np.ndarray]  # of each world [seed, P, metric, 2, user]: sums, and their weights
    places: dict[str, slice]  # where a method's points are
    metrics: tuple[str, ...] = METRICS
    measures: tuple[str, ...] = MEASURES  # those of satisfaction
    behaviour: str = BEHAVIOUR  # what satisfaction costs
    gauc: str = GAUC

    @property
    def base(self) -> int:
        """Where EMER is."""
        return self.places[BASE].start


def evidence(
    plan: Plan, methods: Mapping[str, Method], out: Path, part: str, scenario: str
) -> Evidence:
    """Read what the trials measured. Raises FileNotFoundError where one has not finished."""
    places, points = {}, []
    for name, method in methods.items():
        of_method = method.points()
        places[name] = slice(len(points), len(points) + len(of_method))
        points += of_method
    worlds = [
        np.stack([_seed(plan, world, seed, points, out, part, scenario) for seed in plan.seeds])
        for world in plan.worlds
    ]
    return Evidence(worlds, places)


def _seed(
    plan: Plan,
    world: int,
    seed: int,
    points: Sequence[Point],
    out: Path,
    part: str,
    scenario: str,
) -> np.ndarray:
    """[P, metric, 2, user]; several points may be rankings of one trial."""
    trials = [plan.trial(world, seed, point) for point in points]
    files = {trial.key: trial for trial in trials}
    sums = {key: read_sums(trial, out) for key, trial in files.items()}
    users = next(iter(sums.values())).users
    if not all(np.array_equal(users, s.users) for s in sums.values()):
        raise ValueError(f"trials of world {world} judged different users; remove {out} and rerun")
    named = zip(trials, points, strict=True)
    return np.stack([sums[t.key].select(p.ranking, part, scenario) for t, p in named])
