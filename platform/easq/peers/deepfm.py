"""DeepFM (Guo et al., IJCAI 2017): a factorisation machine and a deep network share embeddings."""

from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from easq.peers.examples import Examples

WIDTH, HIDDEN = 8, (128, 64)
BATCH, EPOCHS, LEARNING_RATE = 256, 1, 3e-3
"""The best of five pairs of epochs and rate on long views of the first six days of Pure."""


class DeepFm(nn.Module):
    """y = first order + sum over pairs of features <v_i, v_j> + deep(v, numbers) (Eqs. 1-4)."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def _build(self, examples: Examples) -> None:
        features, numbers = examples.ids.shape[1], examples.numbers.shape[1]
        torch.manual_seed(self.seed)
        self.first_order = nn.Embedding(examples.num_ids, 1)
        self.embedding = nn.Embedding(examples.num_ids, WIDTH)
        nn.init.zeros_(self.first_order.weight)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.linear = nn.Linear(numbers, 1)
        wide = [features * WIDTH + numbers, *HIDDEN]
        layers = [(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(wide)]
        self.deep = nn.Sequential(*(part for pair in layers for part in pair))
        self.out = nn.Linear(HIDDEN[-1], 1)

    def forward(
        self, ids: Int64[Tensor, "n feature"], numbers: Float[Tensor, "n number"]
    ) -> Float[Tensor, "n"]:
        v = self.embedding(ids)
        pairs = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
        first_order = self.first_order(ids).sum((1, 2)) + self.linear(numbers).squeeze(1)
        deep = self.out(self.deep(torch.cat([v.flatten(1), numbers], dim=1))).squeeze(1)
        return first_order + pairs + deep

    def fit(self, examples: Examples, target: np.ndarray) -> None:
        self._build(examples)
        ids, numbers = _tensors(examples)
        wanted = torch.from_numpy(target).float()
        adam = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)
        order = torch.Generator().manual_seed(self.seed)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(ids), generator=order).split(BATCH):
                loss = F.binary_cross_entropy_with_logits(
                    self(ids[rows], numbers[rows]), wanted[rows]
                )
                adam.zero_grad()
                loss.backward()
                adam.step()

    @torch.inference_mode()
    def score(self, examples: Examples) -> np.ndarray:
        return self(*_tensors(examples)).double().numpy()


def _tensors(examples: Examples) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(examples.ids), torch.from_numpy(examples.numbers)
