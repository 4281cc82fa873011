"""What of a learner is served: its embedding rows, and its dense weights or averages of them.

Weights that follow single batches may swing by more than the gate lets through; their mean over
the last steps of the same training swings less (Polyak and Juditsky, 1992; fading as by Kingma
and Ba, 2015, §7.2), but bad teaching shows in it later, too. Rows are served as they are, so that
an answer moves those of its video at once.
"""

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file

from easq.model.build import Ranker
from easq.train.checkpoint import Contents
from easq.train.learner import Learner
from easq.train.position import OPTIMISERS

LEARNING = "learning."
"""In a checkpoint, before the names of the dense weights that training goes on with."""
YOUNG = 10
"""While training is young, the average is about the last tenth of its steps."""


class Published:
    """The averages. Training neither reads nor moves them; they are the same on every worker."""

    def __init__(self, learner: Learner) -> None:
        ranker, self.steps = learner.state.ranker, learner.config.published.average_steps
        self.ranker: Ranker = ranker if self.steps == 1 else copy.deepcopy(ranker)
        self._step = learner.position.step

    def of(self, learner: Learner) -> Learner:
        """The learner as it is served: it scores and is announced with the averages."""
        served = copy.copy(learner)
        served.state = learner.state._replace(ranker=self.ranker)
        return served

    @torch.no_grad()
    def follow(self, learner: Learner) -> None:
        """Move by the steps that a window has taken."""
        step = learner.position.step
        rate = max(1 / self.steps, YOUNG / (YOUNG + step))
        moved = 1 - (1 - rate) ** (step - self._step)
        newest = learner.state.ranker.parameters()
        for average, weight in zip(self.ranker.parameters(), newest, strict=True):
            average.lerp_(weight, moved)
        self._step = step

    def contents(self, learner: Learner) -> Contents:
        """Of a checkpoint whose weights are the served ones. All workers call it."""
        contents = self.of(learner).contents()
        if self.steps == 1:
            return contents
        learning = learner.state.ranker.state_dict()
        named = {f"{LEARNING}{name}": weight for name, weight in learning.items()}
        return contents._replace(optimisers=contents.optimisers | named)

    def restore(self, directory: Path, learner: Learner) -> None:
        """Go on from a checkpoint, with averages or without."""
        learner.restore(directory)
        self.ranker.load_state_dict(learner.state.ranker.state_dict())
        kept = load_file(directory / OPTIMISERS)
        learning = {n: t for n, t in kept.items() if n.startswith(LEARNING)}
        if learning:
            learner.state.ranker.load_state_dict(
                {name.removeprefix(LEARNING): weight for name, weight in learning.items()}
            )
        self._step = learner.position.step
