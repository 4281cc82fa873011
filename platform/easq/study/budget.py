"""Does the budget hold? Runs within a budget against real twins, day by day, in drifting worlds.

The controller itself sees a cheaper twin, y-hat - gamma s-hat of the same weights; here every
run is set against a ranker that learnt the same windows from the same first weights without
alignment.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import norm

from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.study.budget_trial import BudgetTrial, Seen, read_seen
from easq.study.drift import DRIFTS, DriftingWorld
from easq.study.plan import Preset
from easq.train.budget import BudgetConfig

TARGETS = (1.0, 3.0)
TOLERANCE = 0.3
"""Points of behaviour loss about the target."""


SETTINGS = {
    "model.width": 32,
    "data.window": 1024,
    "optim.batch": 128,
    "loss.alignment": 0.0,
    "loss.offset": 0.1,
}


class BudgetPlan(BaseModel):
    """Which worlds, drifts, draws of weights and budgets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    worlds: tuple[int, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    drifts: tuple[str, ...] = tuple(DRIFTS)
    simulation: SimulationConfig = SimulationConfig(traffic=TrafficConfig(requests=96_000, days=12))
    """8,000 requests a day: enough to tell a day's loss to 0.2 (at 1 %) and 0.3 points (at 3 %)."""
    warm_days: int = 3
    """Not judged: behaviour itself is still being learnt, and gamma sought."""
    drift_day: int = 6
    """Counted from 0."""
    targets: tuple[float, ...] = TARGETS
    steering: dict[str, Any] = {}
    """Fields of BudgetConfig beside the target."""
    settings: dict[str, Any] = SETTINGS
    """Dotted keys of TrainConfig; loss.offset is gamma's first value."""

    def among(self, drifts: Sequence[str]) -> Self:
        """With these drifts instead. Raises ValueError for one that there is not."""
        if unknown := set(drifts) - set(DRIFTS):
            raise ValueError(f"there is no drift {unknown.pop()!r}; there are {', '.join(DRIFTS)}")
        return self.model_copy(update={"drifts": tuple(dict.fromkeys(drifts))})

    def trial(self, drift: str, world: int, seed: int, percent: float | None) -> BudgetTrial:
        """`percent` None: the twin."""
        simulation = self.simulation.model_copy(update={"seed": world})
        drifting = DriftingWorld.of(simulation, DRIFTS[drift], self.drift_day)
        budget = None
        if percent is not None:
            budget = BudgetConfig(behaviour_loss_percent=percent, **self.steering)
        return BudgetTrial(
            drift=drift, world=drifting, seed=seed, budget=budget, settings=self.settings
        )

    def trials(self) -> list[BudgetTrial]:
        """All, those of one world beside each other."""
        return [
            self.trial(drift, world, seed, percent)
            for drift in self.drifts
            for world in self.worlds
            for seed in self.seeds
            for percent in (None, *self.targets)
        ]


PRESETS: dict[Preset, BudgetPlan] = {
    "quick": BudgetPlan(worlds=(0, 1, 2), seeds=(0,), drifts=("clickbait",)),
    "evidence": BudgetPlan(
        worlds=(0, 1, 2, 3, 4),
        seeds=(0, 1),
        simulation=SimulationConfig(traffic=TrafficConfig(requests=288_000, days=12)),
    ),
    "paper": BudgetPlan(
        worlds=(0, 1, 2, 3, 4),
        seeds=(0,),
        simulation=SimulationConfig(
            traffic=TrafficConfig(requests=6_000_000, days=12), questionnaire="paper"
        ),
        settings={**SETTINGS, "model.width": 64, "data.window": 4096, "optim.batch": 256},
    ),
}
"""quick: minutes on two cores. evidence: three times the requests a day, hours. paper: answers as
rare as the paper's, for a cluster. A loss is noisy for the requests that a world drew, much less
for the first weights: worlds tell more than seeds."""


class Run(NamedTuple):
    """One run within a budget against its twin; D days."""

    lost: np.ndarray  # behaviour NDCG@5 lost in %, [D]
    error: np.ndarray  # standard error of each over lists, [D]
    estimated: np.ndarray  # what the run itself saw, mean of its windows, [D]
    gamma: np.ndarray  # mean of its windows, [D]
    gained: np.ndarray  # NDCG@5 of true satisfaction, [D]


class Held(NamedTuple):
    """All runs of one drift and target."""

    runs: list[Run]
    mean: float  # loss over judged days and runs
    of_runs: list[float]  # loss over the judged days of each
    days_within: float  # share of judged days and runs within the tolerance
    days_expected: float  # that share, were the loss the budget and only its measurement noisy
    runs_within: float  # share of runs whose judged days together are
    noise: float  # standard error of a day's measurement, mean
    drift_days: list[float]  # loss on the first days after the drift, mean of runs
    gained: float  # satisfaction over judged days and runs


def judge(plan: BudgetPlan, out: Path) -> dict[str, dict[float, Held]]:
    """Of each drift and target. Raises FileNotFoundError where a trial has not finished."""
    return {
        drift: {percent: _held(plan, drift, percent, out) for percent in plan.targets}
        for drift in plan.drifts
    }


def floor(plan: BudgetPlan, out: Path) -> float | None:
    """How far two twins lie apart that differ in their first weights alone: sd of a day's loss.

    None where there is one draw of weights.
    """
    lost = []
    for drift in plan.drifts:
        for world in plan.worlds:
            twins = [read_seen(plan.trial(drift, world, seed, None), out) for seed in plan.seeds]
            lost += [_run(twin, twins[0]).lost[plan.warm_days :] for twin in twins[1:]]
    return float(np.sqrt(np.mean(np.square(lost)))) if lost else None


def _held(plan: BudgetPlan, drift: str, percent: float, out: Path) -> Held:
    runs = []
    for world in plan.worlds:
        for seed in plan.seeds:
            seen, twin = (
                read_seen(plan.trial(drift, world, seed, p), out) for p in (percent, None)
            )
            runs.append(_run(seen, twin))
    judged = np.stack([run.lost[plan.warm_days :] for run in runs])
    error = np.stack([run.error[plan.warm_days :] for run in runs]).clip(1e-9)
    of_runs = judged.mean(1)
    return Held(
        runs,
        float(judged.mean()),
        of_runs.tolist(),
        float((np.abs(judged - percent) <= TOLERANCE).mean()),
        float((1 - 2 * norm.sf(TOLERANCE, scale=error)).mean()),
        float((np.abs(of_runs - percent) <= TOLERANCE).mean()),
        float(error.mean()),
        judged[:, plan.drift_day - plan.warm_days :].mean(0).tolist(),
        float(np.mean([run.gained[plan.warm_days :] for run in runs])),
    )


def _run(seen: Seen, twin: Seen) -> Run:
    """The same lists of behaviour, in the same order, so that their noise cancels."""
    kept = _by_day(twin.behaviour, twin.day)
    difference = twin.behaviour - seen.behaviour
    count = np.bincount(twin.day.astype(int))
    mean = _by_day(difference, twin.day)
    spread = _by_day(difference**2, twin.day) - mean**2
    return Run(
        100 * mean / kept,
        100 * np.sqrt(spread / count) / kept,
        _by_day(seen.estimated, seen.window_day),
        _by_day(seen.gamma, seen.window_day),
        _by_day(seen.truth, seen.truth_day) - _by_day(twin.truth, twin.truth_day),
    )


def _by_day(values: np.ndarray, day: np.ndarray) -> np.ndarray:
    number = day.astype(int)
    return np.bincount(number, values) / np.bincount(number)
