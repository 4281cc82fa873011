"""SAQRec (Wang et al., CIKM 2024; code at github.com/ke-01/SAQRec), on EMER.

A propensity model and a satisfaction model that it corrects are fitted on frozen embeddings of
views that may be asked about, renewed once a day of event time and frozen in between. The
satisfaction model labels all candidates of all requests, and the ranker learns those labels
- through a second head on the shared backbone, weight loss.satisfaction: SAQRec's satisfaction
  tower beside the recommendation tower that is served;
- as pairs on the served score, weight loss.alignment: of a pair, the chance that the labels drawn
  for it prefer i is s_i (1 - s_j).
SAQRec's click-history encoders have no counterpart in EMER, and its correction of labels by the
student is left out.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from easq.baselines.saqrec_teacher import SaqrecTeacher
from easq.encoding import Slots
from easq.model.ranker import Scores
from easq.train.batch import Batch, Reads
from easq.train.collective import all_sum
from easq.train.config import TrainConfig
from easq.train.method import Method
from easq.train.objective import Parts, Weights, main_loss, nothing


def _weights(batch: Batch, config: TrainConfig) -> Weights:
    """Behaviour pairs, candidates, and requests that have a pair of candidates."""
    pairs = batch.main.weight
    per_request = torch.bincount(batch.inputs.slots.request)
    counts = [float(per_request.sum()), float((per_request > 1).sum())]
    local = torch.cat([pairs.sum()[None], pairs.new_tensor(counts)])
    main, candidates, requests = all_sum(local).tolist()
    loss = config.loss
    return Weights(
        main, candidates if loss.satisfaction else 0.0, requests if loss.alignment else 0.0
    )


def _terms(scores: Scores, taught: Tensor | None, batch: Batch, config: TrainConfig) -> Parts:
    assert taught is not None
    assert scores.satisfaction is not None
    none, imputed = nothing(scores), torch.sigmoid(taught)
    local = none._replace(main=main_loss(scores, batch))
    if not len(imputed):
        return Parts(local, none)
    tower = F.binary_cross_entropy_with_logits(scores.satisfaction, imputed, reduction="sum")
    local = local._replace(satisfaction=tower)
    if config.loss.alignment:
        pairs = imputed_preference(scores.main, imputed, batch.inputs.slots)
        local = local._replace(alignment=pairs)
    return Parts(local, none)


def imputed_preference(y: Tensor, imputed: Tensor, slots: Slots) -> Tensor:
    """The expectation of -log sigmoid(y_i - y_j) over imputed labels; a request's pairs weigh 1.

    Args:
        y: served scores, [candidate].
        imputed: probabilities of Satisfied, [candidate].
    """
    score, s = (slots.pad(values[:, None]).squeeze(2) for values in (y, imputed))
    there = slots.mask()
    others = ~torch.eye(there.shape[1], dtype=torch.bool, device=there.device)
    pairs = there[:, :, None] & there[:, None, :] & others
    weight = s[:, :, None] * (1 - s[:, None, :]) * pairs
    weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(1e-12)
    return (weight * F.softplus(score[:, None, :] - score[:, :, None])).sum()


SAQREC = Method(
    _weights,
    _terms,
    reads=lambda config: Reads(every_request=True),
    teacher=SaqrecTeacher,
    shared_bottom=True,
)
