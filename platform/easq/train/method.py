"""What a method has to say for the shared training step to train it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from easq.encoding import Inputs, Slots
from easq.features import FeatureSpec
from easq.model.embedding import EmbeddingTables
from easq.model.ranker import Scores
from easq.train.batch import Batch, Reads
from easq.train.config import TrainConfig
from easq.train.objective import Parts, Weights
from easq.train.share import WindowShare


class ServingRanker(Protocol):
    """As much of a ranker as a teacher needs."""

    def serve(self, x: Tensor, slots: Slots) -> Tensor: ...


class Teacher(Protocol):
    """A model beside the ranker, frozen inside a window, whose scores a loss reads."""

    @property
    def ready(self) -> bool:
        """Whether it can score; until then the method learns from behaviour alone."""
        ...

    def begin_window(
        self, share: WindowShare, ranker: ServingRanker, tables: EmbeddingTables
    ) -> None:
        """Renew itself, if it is time, from what came before the window."""
        ...

    def scores(self, inputs: Inputs) -> Tensor:
        """Scores of all candidates, [N], without gradient."""
        ...


class Method(NamedTuple):
    """How scores and labels become the terms of Eq. 17, main + lambda_1 .. + lambda_2 ..

    `weights` may depend on labels alone, so that all workers agree on them before they score.
    `terms` gets this rank's scores, and those of the teacher where there is one.
    """

    weights: Callable[[Batch, TrainConfig], Weights]
    terms: Callable[[Scores, Tensor | None, Batch, TrainConfig], Parts]
    reads: Callable[[TrainConfig], Reads]
    teacher: Callable[[TrainConfig, FeatureSpec], Teacher] | None = None
    shared_bottom: bool = False  # the satisfaction term trains the backbone too
