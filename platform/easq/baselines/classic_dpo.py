"""DPO as it is usually done, with a frozen reference (Rafailov et al., 2023).

The reference is the ranker and its embedding rows as they were after a warm-up on behaviour;
until then there is no alignment. Against it EASQ's reference, which moves, is measured. Margins
are of scores (`loss.space`), on EASQ's D+, and are not clipped: those of a frozen model stand.
"""

import copy

import torch
from torch import Tensor

from easq.encoding import Inputs
from easq.features import FeatureSpec
from easq.losses import log_policy, online_dpo
from easq.model.embedding import EmbeddingTables
from easq.model.ranker import Scores
from easq.train.batch import Batch, PairTensors, Reads
from easq.train.config import LossSection, TrainConfig
from easq.train.method import Method, ServingRanker
from easq.train.objective import Parts, Weights, aligned, global_weights, main_loss, nothing
from easq.train.share import WindowShare


class FrozenReference:
    """A copy of the ranker and its rows, taken once; the same on every worker."""

    def __init__(self, config: TrainConfig, spec: FeatureSpec) -> None:
        self.warm_up_windows = config.classic_dpo.warm_up_windows
        self.frozen: tuple[ServingRanker, EmbeddingTables] | None = None

    @property
    def ready(self) -> bool:
        return self.frozen is not None

    def begin_window(
        self, share: WindowShare, ranker: ServingRanker, tables: EmbeddingTables
    ) -> None:
        if self.frozen is None and share.window >= self.warm_up_windows:
            self.frozen = copy.deepcopy(ranker), tables.copy()

    @torch.no_grad()
    def scores(self, inputs: Inputs) -> Tensor:
        assert self.frozen is not None
        ranker, tables = self.frozen
        return ranker.serve(tables.tokens(inputs), inputs.slots)


def _weights(batch: Batch, config: TrainConfig) -> Weights:
    return global_weights(batch, config.loss, config.pairs)._replace(satisfaction=0.0)


def _terms(scores: Scores, taught: Tensor | None, batch: Batch, config: TrainConfig) -> Parts:
    assert taught is not None
    local, cross = aligned(
        [scores.main, taught],
        batch,
        config.pairs,
        lambda score, pairs: _dpo(score[0], score[1], pairs, config.loss),
    )
    none = nothing(scores)
    return Parts(
        none._replace(main=main_loss(scores, batch), alignment=local),
        none._replace(alignment=cross),
    )


def _dpo(y: Tensor, reference: Tensor, pairs: PairTensors, loss: LossSection) -> Tensor:
    policy, frozen = log_policy(y, loss.space), log_policy(reference, loss.space)
    return online_dpo(
        policy[pairs.preferred] - policy[pairs.other],
        frozen[pairs.preferred] - frozen[pairs.other],
        pairs.weight,
        loss.beta,
        loss.label_smoothing,
    )


CLASSIC_DPO = Method(
    _weights,
    _terms,
    reads=lambda config: Reads(pairs=config.loss.alignment > 0),
    teacher=FrozenReference,
)
