"""The imputation network (Christakopoulou et al., arXiv 2209.15166), on EMER.

A satisfaction head on the shared backbone learns each answer by itself and imputes satisfaction
where nobody answered. There the imputed satisfaction enters the reward of a policy gradient; here
it weighs behaviour pairs: pair (i, j) counts clip(1 + kappa (s_i - s_j), 0.1, 10) times.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from easq.losses import pairwise_logistic
from easq.model.ranker import Scores
from easq.train.batch import Batch, Reads
from easq.train.collective import all_sum
from easq.train.config import TrainConfig
from easq.train.method import Method
from easq.train.objective import Parts, Weights, main_weight, nothing

LEAST, MOST = 0.1, 10.0


def _weights(batch: Batch, config: TrainConfig) -> Weights:
    """The pairs' weights before they are reshaped: imputed satisfaction scales the loss."""
    answers = all_sum(batch.main.weight.new_tensor(float(len(batch.labels.position)))).item()
    return Weights(main_weight(batch), answers if config.loss.satisfaction else 0.0, 0.0)


def _terms(scores: Scores, taught: Tensor | None, batch: Batch, config: TrainConfig) -> Parts:
    y, s = scores.main, scores.satisfaction
    assert s is not None
    preferred, other, weight = batch.main
    weight = weight * shaping(s.detach(), preferred, other, config.imputation.kappa)
    main = pairwise_logistic(y[preferred], y[other], weight)
    labels = batch.labels
    satisfaction = F.binary_cross_entropy_with_logits(
        s[labels.position], labels.satisfied, reduction="sum"
    )
    none = nothing(scores)
    return Parts(none._replace(main=main, satisfaction=satisfaction), none)


def shaping(s: Tensor, preferred: Tensor, other: Tensor, kappa: float) -> Tensor:
    """How often each pair counts, [pair], by imputed log-odds of satisfaction [candidate]."""
    imputed = torch.sigmoid(s)
    return (1 + kappa * (imputed[preferred] - imputed[other])).clamp(LEAST, MOST)


IMPUTATION = Method(
    _weights,
    _terms,
    reads=lambda config: Reads(labels=config.loss.satisfaction > 0),
    shared_bottom=True,
)
