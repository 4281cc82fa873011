"""A trial of the budget: one ranker learns a drifting world, within a budget or without alignment.

OUT/worlds/<key>/                  the world's history, shared by its trials
OUT/budget_trials/<key>/result.json  what was run
OUT/budget_trials/<key>/seen.npz     what each request was worth, before it was learnt from
"""

import time
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from easq.evaluate import behaviour_lists
from easq.history import History
from easq.metrics import PerList, ndcg, rank
from easq.samples import BehaviourOrder
from easq.simulate.headroom import truth_values
from easq.simulate.truth import read_truth
from easq.study.code_version import DECIDES
from easq.study.drift import DriftingWorld, write_drifting
from easq.study.results import digest, has_result, history_of, write_result
from easq.train.budget import BudgetConfig
from easq.train.config import TrainConfig, parse_config, put
from easq.train.learner import Learner, WindowScores
from easq.train.share import share_of

SEEN = "seen.npz"
DECIDES_HERE = (
    *DECIDES,
    "study/budget_trial.py",
    "study/drift.py",
    "train/budget.py",
    "train/prequential.py",
)
OFFSET = "loss.offset"


class BudgetTrial(BaseModel):
    """All that decides a result, but for the code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drift: str
    """Its name."""
    world: DriftingWorld
    seed: int
    """Of the first weights."""
    budget: BudgetConfig | None
    """None: the twin, which learns the same windows without alignment."""
    settings: dict[str, Any]
    """Dotted keys of TrainConfig; loss.offset is gamma's first value."""

    def config(self, history: Path = Path("history")) -> TrainConfig:
        """Raises ValueError for settings that TrainConfig refuses."""
        run = {"name": "trial", "storage": ".", "seed": self.seed}
        tree: dict[str, Any] = {"run": run, "data": {"history": str(history)}}
        own = {OFFSET: 0.0} if self.budget is None else {"budget": self.budget.model_dump()}
        for key, value in {**self.settings, **own}.items():
            put(tree, key.split("."), value)
        return parse_config(tree, "trial")

    @property
    def world_key(self) -> str:
        """The folder of its history."""
        return f"{self.drift}{self.world.before.seed}-{_digest(self.world)}"

    @property
    def key(self) -> str:
        """The folder of its result."""
        percent = None if self.budget is None else self.budget.behaviour_loss_percent
        what = "twin" if percent is None else f"{percent:g}percent"
        seeds = f"world{self.world.before.seed}-seed{self.seed}"
        return f"{what}-{self.drift}-{seeds}-{_digest(self)}"


def _digest(what: BaseModel) -> str:
    return digest({"what": what.model_dump(mode="json")}, DECIDES_HERE)


class Seen(NamedTuple):
    """Of each window, and of each of its requests that has what a metric needs."""

    window_day: np.ndarray  # counted from 0, [W]
    gamma: np.ndarray  # that the window was learnt with, [W]
    estimated: np.ndarray  # smoothed loss of behaviour in %, as the run itself saw it, [W]
    day: np.ndarray  # of each list of behaviour, [L]
    behaviour: np.ndarray  # NDCG@5 of the served score, [L]
    truth_day: np.ndarray  # of each request with a candidate that truly satisfies, [T]
    truth: np.ndarray  # NDCG@5 of true satisfaction, [T]

    def write(self, path: Path) -> None:
        np.savez_compressed(path, **self._asdict())

    @classmethod
    def read(cls, path: Path) -> Self:
        with np.load(path) as file:
            return cls(**{name: file[name] for name in cls._fields})


def is_done(trial: BudgetTrial, out: Path) -> bool:
    """Whether the trial has finished."""
    return has_result(_folder(trial, out))


def _folder(trial: BudgetTrial, out: Path) -> Path:
    return out / "budget_trials" / trial.key


def world(trial: BudgetTrial, out: Path) -> History:
    """The trial's history; simulated if it is not there yet."""
    root = out / "worlds" / trial.world_key
    return history_of(root, lambda root: write_drifting(root, trial.world))


def run_trial(trial: BudgetTrial, out: Path) -> str:
    """Run a trial on one thread, unless its result is there; returns its key."""
    if is_done(trial, out):
        return trial.key
    started = time.perf_counter()
    torch.set_num_threads(1)
    seen = _learnt(trial, world(trial, out))
    seconds = round(time.perf_counter() - started, 1)
    result = {"trial": trial.model_dump(mode="json"), "seconds": seconds}
    write_result(
        _folder(trial, out), result, lambda folder: seen.write(folder / SEEN), DECIDES_HERE
    )
    return trial.key


def read_seen(trial: BudgetTrial, out: Path) -> Seen:
    """What a finished trial saw. Raises FileNotFoundError before it has."""
    return Seen.read(_folder(trial, out) / SEEN)


def _learnt(trial: BudgetTrial, history: History) -> Seen:
    """Every window is scored, measured, then learnt from."""
    config = trial.config(history.root)
    learner = Learner(config, history.description.features, torch.device("cpu"))
    windows, truth = history.windows(config.data.max_requests), read_truth(history)
    days = [day.day for day in history.description.days]
    above, first = trial.world.before.world.satisfied_above, 0
    rows = []
    for window in windows:
        share = share_of(history.read(window), window, len(windows), 0, 1)
        scores = learner.score(share)
        z = truth_values(truth.slice(first, share.num_requests), "satisfaction")
        first += share.num_requests
        behaviour, satisfied = _worth(scores, z > above)
        watched = learner.learn(share, scores.loss)
        day = days.index(window.day)
        rows.append(
            (
                [day],
                [watched.get("budget/gamma", 0.0)],
                [watched.get("budget/behaviour_loss_percent", 0.0)],
                np.full(len(behaviour.values), day),
                behaviour.values,
                np.full(len(satisfied.values), day),
                satisfied.values,
            )
        )
    return Seen(*(np.concatenate(column).astype(np.float32) for column in zip(*rows, strict=True)))


def _worth(scores: WindowScores, satisfied: np.ndarray) -> tuple[PerList, PerList]:
    behaviour = ndcg(behaviour_lists(scores.flat, scores.main, BehaviourOrder()), 5)
    return behaviour, ndcg(rank(scores.main, satisfied, scores.flat.request), 5)
