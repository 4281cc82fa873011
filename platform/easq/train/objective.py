"""Eq. 17 over all workers: L_main + lambda_1 L_satis + lambda_2 L_DPO.

Beyond the paper, L_behaviours teaches embedding rows to tell behaviours apart: L_main has one
order of them, in which a like is worth as much as a long view.

Each loss is a sum over this rank's pairs divided by the weight of everybody's, so the gradients
of the ranks simply add up.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from easq.losses import log_policy, online_dpo, pairwise_logistic
from easq.model.ranker import Scores
from easq.pairs import PairsConfig
from easq.train.batch import Batch, PairTensors
from easq.train.collective import all_sum, world_size
from easq.train.config import LossSection


class Weights(NamedTuple):
    """Weight of all ranks' pairs in a step, or number of views; zero where a loss has none."""

    main: float
    satisfaction: float
    alignment: float
    behaviours: float = 0.0


class Terms(NamedTuple):
    """Losses as sums over pairs or views, not yet divided."""

    main: Tensor
    satisfaction: Tensor
    alignment: Tensor
    behaviours: Tensor


class Parts(NamedTuple):
    """Pairs of this rank alone, and pairs across users, whose value every rank knows."""

    local: Terms
    cross: Terms


def global_weights(batch: Batch, loss: LossSection, pairs: PairsConfig) -> Weights:
    """One small all-reduce, before the forward pass: weights depend on labels only."""
    views = batch.main.weight.new_tensor(float(len(batch.views.position)))
    local = torch.stack([batch.main.weight.sum(), batch.satisfaction.weight.sum(), views])
    main, answers, viewed = all_sum(local).tolist()
    cross = float(batch.cross.weight.sum())  # every rank knows all of them
    satisfaction = answers + pairs.cross_user * cross
    alignment = answers + pairs.cross_user_alignment * cross
    return Weights(
        main,
        satisfaction if loss.satisfaction else 0.0,
        alignment if loss.alignment else 0.0,
        viewed,
    )


def main_weight(batch: Batch) -> float:
    """Weight of the behaviour pairs of all ranks."""
    return all_sum(batch.main.weight.sum()).item()


def everywhere(pathways: list[Tensor], positions: Tensor) -> list[Tensor]:
    """Scores [answered] of all answered candidates of the step: own attached, others detached.

    One exchange for the pathways, whose scores [candidate] are this rank's; `positions` [answered]
    say where, and -1 that another rank has it.
    """
    own = positions >= 0
    values = torch.stack([score.new_zeros(len(positions)) for score in pathways])
    values[:, own] = torch.stack([score.detach()[positions[own]] for score in pathways])
    all_sum(values)
    where = (own.nonzero().squeeze(1),)
    return [
        value.index_put(where, score[positions[own]])
        for value, score in zip(values, pathways, strict=True)
    ]


def terms(scores: Scores, batch: Batch, loss: LossSection, pairs: PairsConfig) -> Parts:
    """Eqs. 11, 15 and 16; with an offset, Eq. 11 is of what y-hat adds to it."""
    y, s = scores.main, scores.satisfaction
    assert s is not None
    local = Terms(
        preference(y - loss.offset * s.detach(), batch.main),
        preference(s, batch.satisfaction),
        _alignment(y, s, batch.satisfaction, loss),
        behaviour_loss(scores, batch),
    )
    cross = nothing(scores)
    if not len(batch.answered):
        return Parts(local, cross)
    y_all, s_all = everywhere([y, s], batch.answered)
    cross = cross._replace(satisfaction=pairs.cross_user * preference(s_all, batch.cross))
    if pairs.cross_user_alignment:
        alignment = pairs.cross_user_alignment * _alignment(y_all, s_all, batch.cross, loss)
        cross = cross._replace(alignment=alignment)
    return Parts(local, cross)


def main_loss(scores: Scores, batch: Batch) -> Tensor:
    """Eq. 11."""
    return preference(scores.main, batch.main)


def behaviour_loss(scores: Scores, batch: Batch) -> Tensor:
    """L_behaviours: cross-entropy of what viewers did, which heads on x predict, over views."""
    position, done, counts = batch.views
    if scores.behaviours is None:
        return scores.main.new_zeros(())
    return F.binary_cross_entropy_with_logits(
        scores.behaviours[position], done, counts, reduction="sum"
    )


def nothing(scores: Scores) -> Terms:
    """Terms of a loss that has no pair."""
    zero = scores.main.new_zeros(())
    return Terms(zero, zero, zero, zero)


def total(parts: Parts, weights: Weights, loss: LossSection) -> Tensor:
    """Eq. 17; a loss without a pair anywhere is left out."""
    factors = (1.0, loss.satisfaction, loss.alignment, loss.behaviours)
    value = parts.local.main.new_zeros(())
    for local, cross, weight, factor in zip(*parts, weights, factors, strict=True):
        if weight:
            value = value + factor * (local + cross) / weight
    return value


def loss_sums(parts: Parts) -> Tensor:
    """Loss sums of this rank such that adding them over ranks counts every pair once, [4]."""
    local, cross = (torch.stack([term.detach() for term in part]) for part in parts)
    return local + cross / world_size()


def preference(score: Tensor, pairs: PairTensors) -> Tensor:
    """-sum w log sigmoid of the score's margins: Eq. 11 on y-hat, Eq. 15 on s-hat."""
    return pairwise_logistic(score[pairs.preferred], score[pairs.other], pairs.weight)


def aligned(
    pathways: list[Tensor],
    batch: Batch,
    pairs: PairsConfig,
    loss: Callable[[list[Tensor], PairTensors], Tensor],
) -> tuple[Tensor, Tensor]:
    """`loss` of scores [candidate] over D+ as L_DPO reads it: this rank's pairs, across users."""
    local = loss(pathways, batch.satisfaction)
    if not (pairs.cross_user_alignment and len(batch.answered)):
        return local, torch.zeros_like(local)
    cross = loss(everywhere(pathways, batch.answered), batch.cross)
    return local, pairs.cross_user_alignment * cross


def _alignment(y: Tensor, s: Tensor, pairs: PairTensors, loss: LossSection) -> Tensor:
    policy = log_policy(y, loss.space)
    margin = policy[pairs.preferred] - policy[pairs.other]
    reference = _reference_margin(policy.detach(), log_policy(s.detach(), loss.space), pairs, loss)
    return online_dpo(margin, reference, pairs.weight, loss.beta, loss.label_smoothing)


def _reference_margin(
    policy: Tensor, satisfaction: Tensor, pairs: PairTensors, loss: LossSection
) -> Tensor:
    if loss.reference == "none":
        return torch.zeros_like(pairs.weight)
    reference = policy if loss.reference == "self" else satisfaction
    margin = reference[pairs.preferred] - reference[pairs.other]
    limit = loss.reference_margin_limit
    return margin if limit is None or loss.reference == "self" else margin.clamp(-limit, limit)
