"""The three losses of EASQ (Eqs. 11, 15, 16), as weighted sums over pairs.

Each returns a sum; the training step divides by the weight of all pairs of all workers, so
that the result does not depend on how pairs are spread.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from easq.policy_space import Space

EPSILON = 1e-6


def pairwise_logistic(
    preferred: Float[Tensor, "pair"], other: Float[Tensor, "pair"], weight: Float[Tensor, "pair"]
) -> Float[Tensor, ""]:
    """-sum w log sigmoid(preferred - other): BPR on behaviour (Eq. 11), L_satis (Eq. 15)."""
    return (weight * F.softplus(other - preferred)).sum()


def log_policy(score: Float[Tensor, "*any"], space: Space) -> Float[Tensor, "*any"]:
    """log pi of Eq. 16, up to what cancels inside a pair.

    logit: pi is the softmax of scores over the request's candidates, whose normaliser cancels;
    log: pi is the score, which positive experts keep above 0, Eq. 16 to the letter; softplus and
    logsigmoid: pi is the score made positive (DECISIONS.md, 2).
    """
    if space == "log":
        return torch.log(score + EPSILON)
    if space == "softplus":
        return torch.log(F.softplus(score) + EPSILON)
    return F.logsigmoid(score) if space == "logsigmoid" else score


def online_dpo(
    policy_margin: Float[Tensor, "pair"],
    reference_margin: Float[Tensor, "pair"],
    weight: Float[Tensor, "pair"],
    beta: float,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Eq. 16 with a reference that moves: -sum w log sigmoid(beta (policy - reference margin)).

    Margins are log pi(preferred) - log pi(other). The reference never receives a gradient.
    Label smoothing is cDPO's, for noisy answers.
    """
    margin = beta * (policy_margin - reference_margin.detach())
    forward, backward = F.softplus(-margin), F.softplus(margin)
    return (weight * ((1 - label_smoothing) * forward + label_smoothing * backward)).sum()
