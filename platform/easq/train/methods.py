"""EASQ and its baselines as the training step knows them."""

from torch import Tensor

from easq.baselines.classic_dpo import CLASSIC_DPO
from easq.baselines.emer import EMER
from easq.baselines.emer_s import EMER_S
from easq.baselines.imputation import IMPUTATION
from easq.baselines.saqrec import SAQREC
from easq.model.config import MethodName
from easq.model.ranker import Scores
from easq.train.batch import PAIRS, Batch, Reads
from easq.train.config import TrainConfig
from easq.train.method import Method
from easq.train.objective import Parts, Weights, global_weights, terms


def _weights(batch: Batch, config: TrainConfig) -> Weights:
    return global_weights(batch, config.loss, config.pairs)


def _terms(scores: Scores, taught: Tensor | None, batch: Batch, config: TrainConfig) -> Parts:
    return terms(scores, batch, config.loss, config.pairs)


def _reads(config: TrainConfig) -> Reads:
    return PAIRS._replace(views=config.loss.behaviours > 0)


EASQ = Method(_weights, _terms, reads=_reads)

METHODS: dict[MethodName, Method] = {
    "easq": EASQ,
    "emer": EMER,
    "emer_s": EMER_S,
    "imputation": IMPUTATION,
    "saqrec": SAQREC,
    "classic_dpo": CLASSIC_DPO,
}


def check_checkpointed(config: TrainConfig) -> None:
    """Refuse to checkpoint a method that keeps a teacher: no checkpoint holds it.

    Raises:
        ValueError: says which methods can be trained as a run.
    """
    if METHODS[config.model.method].teacher is not None:
        others = [name for name, method in METHODS.items() if method.teacher is None]
        raise ValueError(
            f"model.method {config.model.method} keeps a teacher that checkpoints do not hold, so "
            f"a run of it could not go on: it is for comparisons in one process. Runs can train "
            f"{', '.join(others)}."
        )
