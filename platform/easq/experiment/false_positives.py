"""The A/A test: users who all saw the same are divided by many salts, and nothing may differ."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from easq.experiment.assignment import Experiment
from easq.experiment.ratio_metrics import LEVEL
from easq.experiment.table2 import METRICS, UserSums, compare

BOUND_LEVEL = 0.999
"""Chance that one metric's count stays below the bound, were its intervals exact."""


class FalsePositives(NamedTuple):
    """How often each metric's interval left out 0."""

    salts: int
    by_metric: dict[str, int]
    mismatches: int  # alarms of the sample-ratio checks
    bound: int  # the most that chance explains for one metric

    @property
    def is_empty(self) -> bool:
        """Nothing was found that is not there."""
        return max(self.by_metric.values()) <= self.bound and not self.mismatches


def false_positives(
    sums: UserSums, user_ids: np.ndarray, experiment: Experiment, salts: int = 20
) -> FalsePositives:
    """Divide the users of one run without a difference by `salts` salts; the first two arms count.

    Raises ValueError when the experiment has fewer than two arms.
    """
    if len(experiment.arms) < 2:
        raise ValueError(f"{experiment.name} has one arm; a comparison needs two")
    control, treatment = (arm.name for arm in experiment.arms[:2])
    found, mismatches = dict.fromkeys((metric.name for metric in METRICS), 0), 0
    for number in range(salts):
        salted = experiment.model_copy(update={"salt": f"{experiment.salt}-{number}"})
        said = compare(sums, salted.arms_of(user_ids), salted, treatment, control)
        mismatches += said.users.is_mismatch + said.served.is_mismatch
        for name, difference in said.differences.items():
            found[name] += difference.is_significant
    bound = int(stats.binom.ppf(BOUND_LEVEL, salts, 1 - LEVEL))
    return FalsePositives(salts, found, mismatches, bound)
