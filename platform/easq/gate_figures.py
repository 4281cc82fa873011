"""The gate's figures: paired differences with standard errors over users, and weights' norms."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.linalg import vector_norm

from easq.evaluate import Answered
from easq.events import Answer
from easq.metrics import percentile


class Interval(NamedTuple):
    """An estimate and its standard error."""

    mean: float
    error: float


class WeightFacts(NamedTuple):
    """What is known of a version's weights without any sample."""

    not_finite: tuple[str, ...]
    norms: dict[str, float]  # of each group, and of the longest embedding row of each width


def weight_facts(weights: Mapping[str, Tensor]) -> WeightFacts:
    """Facts of the tensors of ranker.safetensors: `ranker.<group>.…` and `rows.<width>`."""
    not_finite = tuple(sorted(n for n, t in weights.items() if not torch.isfinite(t).all()))
    squares: dict[str, float] = {}
    longest: dict[str, float] = {}
    for name, tensor in weights.items():
        group = ".".join(name.split(".")[:2])
        norm = float(vector_norm(tensor, dtype=torch.float64))
        squares[group] = squares.get(group, 0.0) + norm**2
        if group.startswith("rows."):
            longest[f"the longest row of {group}"] = float(vector_norm(tensor, dim=1).max())
    return WeightFacts(not_finite, {g: s**0.5 for g, s in squares.items()} | longest)


def norm_growth(weights: WeightFacts, other: WeightFacts) -> tuple[str, float]:
    """The group that grew most, and how many times; groups that were zero are left out."""
    growth = {g: n / other.norms[g] for g, n in weights.norms.items() if other.norms.get(g)}
    return max(growth.items(), key=lambda item: item[1], default=("nothing", 1.0))


def clustered_mean(values: Float[np.ndarray, "list"], unit: Shaped[np.ndarray, "list"]) -> Interval:
    """The mean over lists, with an error that lets the lists of a user hang together."""
    if not len(values):
        return Interval(0.0, math.inf)
    mean = float(values.mean())
    return Interval(mean, _error((values - mean) / len(values), unit))


def pooled_accuracy(a: Answered, b: Answered, min_answers: int) -> Interval | None:
    """a - b of P(a Satisfied answer's percentile is above a Dissatisfied one's), over all users.

    The error is that of DeLong, DeLong and Clarke-Pearson (1988) for paired areas under ROC
    curves, with the influences of a user's answers summed. None with fewer answers than asked
    for, or less than a tenth of them of one kind.
    """
    decided = a.answer != Answer.UNCERTAIN
    satisfied = a.answer[decided] == Answer.SATISFIED
    fewest = min(satisfied.sum(), (~satisfied).sum())
    if len(decided) < min_answers or fewest < min_answers / 10:
        return None
    difference = _placements(a.percentile[decided], satisfied) - _placements(
        b.percentile[decided], satisfied
    )
    mean = float(difference[satisfied].mean())
    counts = np.where(satisfied, satisfied.sum(), (~satisfied).sum())
    return Interval(mean, _error((difference - mean) / counts, a.user_id[decided]))


def rank_correlation(
    a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"], request: Shaped[np.ndarray, "n"]
) -> float:
    """Of percentiles inside requests: 1, the same order everywhere; 0 where one has no order."""
    a, b = percentile(a, request) - 0.5, percentile(b, request) - 0.5
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else 0.0


def _placements(
    place: Float[np.ndarray, "n"], satisfied: Bool[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """The share of the other kind's answers that each is in the right order with."""
    above, below = place[satisfied][:, None], place[~satisfied]
    right = (above > below) + 0.5 * (above == below)
    placements = np.empty(len(place))
    placements[satisfied], placements[~satisfied] = right.mean(axis=1), right.mean(axis=0)
    return placements


def _error(influence: np.ndarray, unit: np.ndarray) -> float:
    """Nothing is sure about one user."""
    _, of = np.unique(unit, return_inverse=True)
    if (units := of.max() + 1) < 2:
        return math.inf
    return float(np.sqrt((np.bincount(of, influence) ** 2).sum() * units / (units - 1)))
