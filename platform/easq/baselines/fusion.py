"""The weighted sum of upstream scores that EMER replaced: what a platform ranks by before it.

score = sum_n w_n logit(p_n) over the probabilities that upstream models gave a candidate. A sum of
log-odds is a product of odds, the usual fusion formula; nothing is learnt but the weights.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import minimize
from scipy.special import expit, logit

from easq.pairs import Pairs, behaviour_pairs
from easq.samples import BehaviourOrder, Flat

LEAST = 1e-6
RIDGE = 1e-6


class FusionConfig(BaseModel):
    """Weights by name of the upstream score."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: dict[str, float]


def fusion_scores(upstream: Mapping[str, np.ndarray], config: FusionConfig) -> np.ndarray:
    """Scores of all candidates, [N]; `upstream` holds probabilities [N] by name.

    Raises:
        ValueError: a weight names no upstream score.
    """
    if unknown := set(config.weights) - set(upstream):
        raise ValueError(f"no upstream score {sorted(unknown)}: there are {sorted(upstream)}")
    names = list(config.weights)
    return _log_odds(upstream, names) @ np.array([config.weights[name] for name in names])


def upstream_scores(flat: Flat) -> dict[str, np.ndarray]:
    """The upstream scores of samples, [N] each, by name."""
    prefix = "upstream."
    found = {n: v for n, v in flat.columns.item.items() if n.startswith(prefix)}
    return {name.removeprefix(prefix): values for name, values in found.items()}


def fit_fusion(flat: Flat, order: BehaviourOrder) -> FusionConfig:
    """The weights that rank validation samples best, by the pairwise loss that EMER learns by.

    The loss is convex in the weights, so this finds what a search of any budget could at most.

    Raises:
        ValueError: the samples have no upstream scores, or no candidate was preferred.
    """
    upstream = upstream_scores(flat)
    learns = flat.exposed & flat.is_behaviour[flat.request]
    pairs = behaviour_pairs(order.levels(flat.behaviours), learns, flat.request)
    if not upstream or not pairs.total:
        raise ValueError("fusion weights need upstream scores and requests with a preference")
    names = sorted(upstream)
    weights = _pairwise_logistic_fit(_log_odds(upstream, names), pairs)
    return FusionConfig(weights=dict(zip(names, weights.tolist(), strict=True)))


def _pairwise_logistic_fit(features: np.ndarray, pairs: Pairs) -> np.ndarray:
    difference = features[pairs.preferred] - features[pairs.other]
    share = pairs.weight / pairs.total

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = difference @ w
        value = float(share @ np.logaddexp(0, -margin) + RIDGE * w @ w)
        return value, -difference.T @ (share * expit(-margin)) + 2 * RIDGE * w

    return minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x


def _log_odds(upstream: Mapping[str, np.ndarray], names: list[str]) -> np.ndarray:
    """[N, names]; a rate of exactly 0 or 1 counts as almost so."""
    table = np.stack([upstream[name].astype(np.float64) for name in names], axis=1)
    return logit(table.clip(LEAST, 1 - LEAST))
