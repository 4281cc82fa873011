"""EMERs: EMER whose loss also has pairs of answers, on the served score (EASQ §5.1.3).

The paper says no more than "incorporates questionnaire feedback as supervision for ranking". The
pairs are EASQ's D+, so that the comparison is of methods and not of data:
L_main + loss.alignment * -sum w log sigmoid(y+ - y-).
"""

from torch import Tensor

from easq.model.ranker import Scores
from easq.train.batch import Batch, Reads
from easq.train.config import TrainConfig
from easq.train.method import Method
from easq.train.objective import (
    Parts,
    Weights,
    aligned,
    global_weights,
    main_loss,
    nothing,
    preference,
)


def _weights(batch: Batch, config: TrainConfig) -> Weights:
    return global_weights(batch, config.loss, config.pairs)._replace(satisfaction=0.0)


def _terms(scores: Scores, taught: Tensor | None, batch: Batch, config: TrainConfig) -> Parts:
    local, cross = aligned(
        [scores.main], batch, config.pairs, lambda score, pairs: preference(score[0], pairs)
    )
    none = nothing(scores)
    return Parts(
        none._replace(main=main_loss(scores, batch), alignment=local),
        none._replace(alignment=cross),
    )


EMER_S = Method(_weights, _terms, reads=lambda config: Reads(pairs=config.loss.alignment > 0))
