"""A satisfaction model that corrects for who answers, by inverse propensity (SAQRec's stages 1, 2).

Both models are SAQRec's: layers of 200 and 80, dropout 0.1, Adam at 1e-3, batches of 512, on
embeddings that they do not train.
"""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, LEARNING_RATE, PATIENCE = 512, 1e-3, 2


def inverse_propensities(
    propensity: Float[Tensor, "answered"], mean: float, clip: float
) -> Float[Tensor, "answered"]:
    """Weights 1 / max(p / mean, clip) of answered views, scaled to mean 1.

    The mean propensity of all views makes the clip mean the same at every rate of answers: with
    one answer in ten thousand views, all absolute propensities lie below SAQRec's 0.05.
    """
    weight = 1 / (propensity / mean).clamp_min(clip)
    return weight / weight.mean()


class Views(NamedTuple):
    """Views that the questionnaire could have followed, and what was said."""

    x: Float[Tensor, "view k"]
    decided: Float[Tensor, "view"]  # 1 where the viewer said Satisfied or Dissatisfied
    satisfied: Float[Tensor, "view"]  # 1 where Satisfied


def fit_propensity(views: Views, epochs: int) -> nn.Module:
    """Log-odds that a view is answered."""
    return fit(views.x, views.decided, torch.ones_like(views.decided), epochs)


def fit_satisfaction(
    answered: Views, all_views: Views, propensity: nn.Module, clip: float, epochs: int
) -> nn.Module:
    """Log-odds of Satisfied, each answered view weighed by how rarely its like is answered."""
    with torch.no_grad():
        chance = torch.sigmoid(propensity(answered.x).squeeze(1))
        mean = torch.sigmoid(propensity(all_views.x).squeeze(1)).mean().item()
    return fit(answered.x, answered.satisfied, inverse_propensities(chance, mean, clip), epochs)


def fit(
    x: Float[Tensor, "view k"],
    label: Float[Tensor, "view"],
    weight: Float[Tensor, "view"],
    epochs: int,
) -> nn.Module:
    """A classifier by weighted cross-entropy; a fifth of the views is held out to stop by."""
    order = torch.randperm(len(x))
    held, learnt = order[: len(x) // 5], order[len(x) // 5 :]
    model = _perceptron(x.shape[1]).to(x)
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    best, kept, worse = float("inf"), copy.deepcopy(model), 0
    for _ in range(epochs):
        _epoch(model, adam, x[learnt], label[learnt], weight[learnt])
        with torch.no_grad():
            loss = _loss(model.eval(), x[held], label[held], weight[held]).item()
        worse = 0 if loss < best else worse + 1
        if loss < best:
            best, kept = loss, copy.deepcopy(model)
        if worse == PATIENCE:
            break
    return kept.eval()


def _epoch(
    model: nn.Module, adam: torch.optim.Adam, x: Tensor, label: Tensor, weight: Tensor
) -> None:
    model.train()
    for batch in torch.randperm(len(x)).split(BATCH):
        adam.zero_grad()
        _loss(model, x[batch], label[batch], weight[batch]).backward()
        adam.step()


def _loss(model: nn.Module, x: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(x).squeeze(1), label, weight)


def _perceptron(inputs: int) -> nn.Module:
    layers = [(inputs, 200), (200, 80)]
    hidden = [m for a, b in layers for m in (nn.Linear(a, b), nn.ReLU(), nn.Dropout(0.1))]
    return nn.Sequential(*hidden, nn.Linear(80, 1))
