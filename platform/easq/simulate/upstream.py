"""The models before the ranker: scores of behaviour, and the policy that chose what was shown.

They estimate behaviour, with errors; of satisfaction they see only what shows in behaviour.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, logit

from easq.simulate.users import BehaviourConfig, Viewing, probabilities
from easq.simulate.world import World


class UpstreamConfig(BaseModel):
    """Errors of the upstream scores, and how the logging policy uses them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    error: dict[str, float] = {
        "effective_view": 0.9,
        "long_view": 0.9,
        "like": 2.2,
        "follow": 3.0,
        "comment": 3.0,
        "forward": 3.0,
    }
    """Standard deviation of each score's log-odds; half of the variance stays with the item. Rare
    behaviours are known worse. Like and long view reach an AUC of .69; a video's rate of the week
    before reaches .67 in KuaiRand."""
    policy: dict[str, float] = {"effective_view": 1.0, "long_view": 1.0, "like": 0.3}
    """Weights of the log-odds in the logging policy."""
    exploration: float = Field(default=0.5, ge=0)
    """Standard deviation of the noise that the policy adds."""
    exploration_explore: float = Field(default=1.5, ge=0)
    """The same in the scenario `explore`."""


class Upstream(NamedTuple):
    """The trained models: their settings and what they wrongly believe about each item."""

    config: UpstreamConfig
    item_error: dict[str, np.ndarray]  # [I] each


def draw_upstream(config: UpstreamConfig, items: int, rng: np.random.Generator) -> Upstream:
    errors = {n: sd * np.sqrt(0.5) * rng.normal(size=items) for n, sd in config.error.items()}
    return Upstream(config, errors)


def score(
    upstream: Upstream,
    behaviour: BehaviourConfig,
    world: World,
    viewing: Viewing,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Estimated probability of each behaviour, [N] each. `viewing` holds the expected z."""
    true = probabilities(behaviour, world, viewing)
    estimates = {}
    for name, of_item in upstream.item_error.items():
        noise = upstream.config.error[name] * np.sqrt(0.5) * rng.normal(size=len(viewing.item))
        estimates[name] = expit(logit(true[name]) + of_item[viewing.item] + noise)
    return estimates


def policy_ranks(
    config: UpstreamConfig,
    scores: dict[str, np.ndarray],
    request: np.ndarray,
    explore: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Place of each candidate in its request under the logging policy, 0 first, int [N]."""
    noise = np.where(explore, config.exploration_explore, config.exploration)
    value = noise * rng.normal(size=len(request))
    for name, weight in config.policy.items():
        value += weight * logit(scores[name])
    return places(value, request)


def places(value: np.ndarray, request: np.ndarray) -> np.ndarray:
    """Place of each candidate by falling value in its request; `request` is sorted, int [N]."""
    order = np.lexsort((-value, request))
    first = np.searchsorted(request, request)
    place = np.empty(len(value), dtype=np.int64)
    place[order] = np.arange(len(value)) - first
    return place
