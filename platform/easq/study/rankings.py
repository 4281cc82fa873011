"""What a trial is judged for besides the score that it would serve.

Mixing at serving costs no training: a run that kept both pathways' scores is judged for every
weight of the blend y-hat + gamma s-hat, and any run beside the simulator's truth for the best
that could be mixed in.
"""

import numpy as np
import pyarrow as pa

from easq.baselines.blend import blend as blended
from easq.baselines.fusion import fit_fusion, fusion_scores, upstream_scores
from easq.samples import BehaviourOrder, flatten
from easq.study.judge import Requests
from easq.study.prequential import Judged
from easq.study.user_sums import PARTS
from easq.train.config import TrainConfig

SERVED, FUSION = "served", "fusion"
GAMMAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0)


def blend(gamma: float) -> str:
    """Name of the ranking by y-hat + gamma s-hat."""
    return f"blend {gamma:g}"


def oracle(gamma: float) -> str:
    """Name of the ranking by y-hat + gamma E[z], z the truth as far as features tell."""
    return f"oracle {gamma:g}"


def rankings(judged: Judged, requests: Requests, config: TrainConfig) -> dict[str, np.ndarray]:
    """Scores by name, [N] each. Runs that nothing aligned are mixed: no study asks of others."""
    y, s = judged.main, judged.satisfaction
    if config.model.method != "emer":
        if s is None or config.loss.alignment or config.loss.offset:
            return {SERVED: y}
        return {SERVED: y, **{blend(gamma): blended(y, s, gamma) for gamma in GAMMAS}}
    best = {oracle(gamma): y + gamma * requests.expected for gamma in GAMMAS}
    return {SERVED: y, FUSION: _fusion(judged, requests), **best}


def _fusion(judged: Judged, requests: Requests) -> np.ndarray:
    """The weights are fitted to the validation days."""
    validation = judged.samples.filter(pa.array(requests.part == PARTS.index("validation")))
    weights = fit_fusion(flatten(validation), BehaviourOrder())
    return fusion_scores(upstream_scores(requests.flat), weights)
