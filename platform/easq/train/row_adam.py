"""Adam for embedding rows: only rows with a gradient move, decay or age (lazy Adam)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from easq.model.embedding import EmbeddingTables

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class RowAdam:
    """Moments of every row; a step reads and writes the rows it is given."""

    def __init__(self, tables: EmbeddingTables, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.steps = 0
        self.mean = {w: torch.zeros_like(t) for w, t in tables.weight.items()}
        self.square = {w: torch.zeros_like(t) for w, t in tables.weight.items()}

    def begin_step(self) -> None:
        self.steps += 1

    def update(
        self,
        tables: EmbeddingTables,
        width: int,
        ids: Int64[Tensor, "row"],
        gradient: Float[Tensor, "row w"],
    ) -> Int64[Tensor, "row"]:
        """Move the rows of one table; returns the ids of those that had a gradient."""
        live = gradient.abs().amax(dim=1) > 0
        if not bool(live.all()):
            ids, gradient = ids[live], gradient[live]
        mean = self.mean[width][ids].lerp_(gradient, 1 - BETA1)
        square = self.square[width][ids].mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        self.mean[width][ids], self.square[width][ids] = mean, square
        scale = self.learning_rate / (1 - BETA1**self.steps)
        denominator = (square / (1 - BETA2**self.steps)).sqrt_().add_(EPSILON)
        tables.weight[width].index_add_(0, ids, mean / denominator, alpha=-scale)
        return ids
