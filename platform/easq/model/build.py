"""From configuration to a ranker with its first weights."""

import torch

from easq.baselines.emer import EmerRanker
from easq.baselines.shared_bottom import SharedBottomRanker
from easq.features import FeatureSpec
from easq.model.config import MethodName, ModelConfig
from easq.model.ranker import EasqRanker

Ranker = EasqRanker | EmerRanker | SharedBottomRanker

RANKERS: dict[MethodName, type[Ranker]] = {
    "easq": EasqRanker,
    "emer": EmerRanker,
    "emer_s": EmerRanker,
    "imputation": SharedBottomRanker,
    "saqrec": SharedBottomRanker,
    "classic_dpo": EmerRanker,
}


def build_ranker(
    spec: FeatureSpec, config: ModelConfig, seed: int, device: torch.device, dtype: torch.dtype
) -> Ranker:
    """The same weights for a seed on every worker and device; caller's random state untouched.

    Backbone and main head are drawn first, so all methods start with equal ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ranker = RANKERS[config.method](spec.token_width, config)
    return ranker.to(device, dtype)
