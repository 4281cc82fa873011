"""From configuration to a ranker with its first weights."""

import torch

from easq.baselines.emer import EmerRanker
from easq.features import FeatureSpec
from easq.model.config import ModelConfig
from easq.model.ranker import EasqRanker

Ranker = EasqRanker | EmerRanker


def build_ranker(
    spec: FeatureSpec, config: ModelConfig, seed: int, device: torch.device, dtype: torch.dtype
) -> Ranker:
    """The same weights for a seed on every worker and device; caller's random state untouched.

    Backbone and main head are drawn first, so EASQ and EMER start with equal ones.
    """
    kind = EmerRanker if config.method == "emer" else EasqRanker
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        ranker = kind(spec.token_width, config)
    return ranker.to(device, dtype)
