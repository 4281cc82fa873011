"""A ranker that learnt two small windows, and its checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from easq.history import History
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner
from easq.train.share import share_of
from easq.versions import version_from_checkpoint

WINDOW = 16


class Trained(NamedTuple):
    config: TrainConfig
    history: History
    learner: Learner
    run_dir: Path

    def learn(self) -> Path:
        """Learn one more window and write a checkpoint."""
        windows = self.history.windows(WINDOW)
        window = windows[self.learner.next_window]
        self.learner.learn(share_of(self.history.read(window), window, len(windows), 0, 1))
        checkpoint = self.run_dir / f"checkpoint-{self.learner.next_window}"
        checkpoint.mkdir(parents=True)
        self.learner.save(checkpoint)
        return checkpoint

    def version(self, checkpoint: Path) -> Path:
        out = self.run_dir / "made" / checkpoint.name
        return version_from_checkpoint(checkpoint, self.config, self.history, out)


@pytest.fixture
def trained(make_history: Callable[..., History], mlflow_uri: str, tmp_path: Path) -> Trained:
    history = make_history(64)
    config = parse_config(
        {
            "run": {"name": "test", "storage": str(tmp_path / "runs")},
            "data": {"history": str(history.root), "window": WINDOW},
            "model": {"width": 16, "heads": 2},
            "optim": {"batch": 8, "learning_rate": 0.01},
            "tracking": {"uri": mlflow_uri},
        },
        "test",
    )
    learner = Learner(config, history.description.features, torch.device("cpu"))
    return Trained(config, history, learner, tmp_path / "runs" / "test")
