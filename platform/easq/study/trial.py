"""A trial: one method with one setting learns one simulated world from one draw of weights.

OUT/worlds/<key>/            the simulated history, shared by the trials of its world
OUT/trials/<key>/result.json what was run and the means over users
OUT/trials/<key>/sums.npz    the sums of every user, for paired intervals
"""

import time
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from easq.history import History
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.study.judge import Requests, judge
from easq.study.prequential import prequential
from easq.study.rankings import rankings
from easq.study.results import digest, has_result, history_of, write_result
from easq.study.user_sums import UserSums
from easq.train.config import TrainConfig, parse_config, put

SUMS = "sums.npz"
APART = {"run", "data", "workers", "checkpoint", "published", "stream", "tracking"}
"""Sections that do not decide what one process learns; window and seed are named beside them."""


class Split(BaseModel):
    """Days of a history: first learnt and not judged, then judged to choose, then judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warm_days: int = Field(ge=0)
    validation_days: int = Field(ge=0)

    def part(self, day: int) -> str | None:
        """ "validation", "test", or None while the model warms up. Days count from 0."""
        if day < self.warm_days:
            return None
        return "validation" if day < self.warm_days + self.validation_days else "test"


class Trial(BaseModel):
    """All that decides a result, but for the code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    simulation: SimulationConfig
    """Its seed draws the world."""
    split: Split
    seed: int
    """Of the first weights."""
    settings: dict[str, Any]
    """Dotted keys of TrainConfig: {"model.method": "emer"}."""

    @model_validator(mode="after")
    def _has_test_days(self) -> "Trial":
        judged_from = self.split.warm_days + self.split.validation_days
        if judged_from >= self.simulation.traffic.days:
            raise ValueError(
                f"{self.simulation.traffic.days} simulated days leave none to test on after "
                f"{judged_from} days of warming up and validation"
            )
        return self

    def config(self, history: Path = Path("history")) -> TrainConfig:
        """Raises ValueError for settings that TrainConfig refuses."""
        run = {"name": "trial", "storage": ".", "seed": self.seed}
        tree: dict[str, Any] = {"run": run, "data": {"history": str(history)}}
        for key, value in self.settings.items():
            put(tree, key.split("."), value)
        return parse_config(tree, "trial")

    @property
    def world_key(self) -> str:
        """The folder of its history."""
        contents = {"simulation": self.simulation.model_dump(mode="json")}
        return f"world{self.simulation.seed}-{digest(contents)}"

    @property
    def key(self) -> str:
        """The folder of its result."""
        config = self.config()
        contents = {
            "world": self.world_key,
            "split": self.split.model_dump(),
            "seed": self.seed,
            "window": config.data.window,
            "config": config.model_dump(mode="json", exclude=APART),
        }
        start = f"{config.model.method}-world{self.simulation.seed}-seed{self.seed}"
        return f"{start}-{digest(contents)}"


def is_done(trial: Trial, out: Path) -> bool:
    """Whether the trial has finished."""
    return has_result(_folder(trial, out))


def _folder(trial: Trial, out: Path) -> Path:
    return out / "trials" / trial.key


def world(trial: Trial, out: Path) -> History:
    """The trial's simulated history; simulated if it is not there yet."""
    root = out / "worlds" / trial.world_key
    return history_of(root, lambda root: write_simulation(root, trial.simulation))


def run_trial(trial: Trial, out: Path) -> str:
    """Run a trial on one thread, unless its result is there; returns its key."""
    if is_done(trial, out):
        return trial.key
    started = time.perf_counter()
    torch.set_num_threads(1)
    history = world(trial, out)
    config = trial.config(history.root)
    parts = [trial.split.part(day) for day in range(len(history.description.days))]
    judged = prequential(config, history, parts)
    requests = Requests.of(judged, history)
    exposed = trial.simulation.traffic.exposed
    above = trial.simulation.world.satisfied_above
    compared = rankings(judged, requests, config)
    sums = judge(requests, compared, above, exposed)
    result = {
        "trial": trial.model_dump(mode="json"),
        "config": config.model_dump(mode="json", exclude=APART),
        "seconds": round(time.perf_counter() - started, 1),
        "means": sums.means(),
    }
    write_result(_folder(trial, out), result, lambda folder: sums.write(folder / SUMS))
    return trial.key


def read_sums(trial: Trial, out: Path) -> UserSums:
    """What a finished trial measured. Raises FileNotFoundError before it has."""
    return UserSums.read(_folder(trial, out) / SUMS)
