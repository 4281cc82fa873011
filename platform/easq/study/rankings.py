"""What a trial is judged for besides the score that it would serve.

Mixing at serving costs no training: a run that kept both pathways' scores is judged for every
weight of the blend y-hat + gamma s-hat, and any run beside the simulator's truth for the best
that could be mixed in.
"""

import numpy as np

from easq.study.judge import Requests
from easq.study.prequential import Judged

SERVED = "served"
GAMMAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0)


def blend(gamma: float) -> str:
    """Name of the ranking by y-hat + gamma s-hat."""
    return f"blend {gamma:g}"


def oracle(gamma: float) -> str:
    """Name of the ranking by y-hat + gamma E[z], z the truth as far as features tell."""
    return f"oracle {gamma:g}"


def rankings(judged: Judged, requests: Requests, with_truth: bool) -> dict[str, np.ndarray]:
    """Scores by name, [N] each. `with_truth`: also mixed with the truth, the ceiling."""
    y, s = judged.main, judged.satisfaction
    mixed = {} if s is None else {blend(gamma): y + gamma * s for gamma in GAMMAS}
    best = {oracle(gamma): y + gamma * requests.expected for gamma in GAMMAS} if with_truth else {}
    return {SERVED: y, **mixed, **best}
