"""The A/A test: users who all saw the same are divided by many salts, and nothing may differ."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from easq.experiment.assignment import Experiment
from easq.experiment.ratio_metrics import LEVEL, RelativeDifference
from easq.experiment.sample_ratio import ALARM
from easq.experiment.table2 import METRICS, UserSums, compare

BOUND_LEVEL = 0.999
"""Chance that one metric's count stays below the bound, were its intervals exact."""


class FalsePositives(NamedTuple):
    """How often each metric's interval left out 0."""

    salts: int
    by_metric: dict[str, int]
    adjusted: dict[str, int]
    """The same by CUPED; empty without days before."""
    mismatches: int  # divisions with an alarm of a sample-ratio check

    @property
    def bound(self) -> int:
        """The most that chance explains for one metric."""
        return int(stats.binom.ppf(BOUND_LEVEL, self.salts, 1 - LEVEL))

    @property
    def mismatches_bound(self) -> int:
        """The most that chance explains. A division's two checks count nearly the same users: that
        one of them gives alarm has at most twice the chance of each."""
        return int(stats.binom.ppf(BOUND_LEVEL, self.salts, 2 * ALARM))

    @property
    def most(self) -> int:
        """Of the metric that was found most often."""
        return max([*self.by_metric.values(), *self.adjusted.values()])

    @property
    def is_empty(self) -> bool:
        """Nothing was found that is not there."""
        return self.most <= self.bound and self.mismatches <= self.mismatches_bound


def false_positives(
    sums: UserSums,
    user_ids: np.ndarray,
    experiment: Experiment,
    salts: int = 20,
    before: UserSums | None = None,
) -> FalsePositives:
    """Divide the users of one run without a difference by `salts` salts; the first two arms count.

    Args:
        before: of the same users, for CUPED.

    Raises ValueError when the experiment has fewer than two arms.
    """
    if len(experiment.arms) < 2:
        raise ValueError(f"{experiment.name} has one arm; a comparison needs two")
    control, treatment = (arm.name for arm in experiment.arms[:2])
    divided = []
    for number in range(salts):
        salted = experiment.model_copy(update={"salt": f"{experiment.salt}-{number}"})
        arms = salted.arms_of(user_ids)
        divided.append(compare(sums, arms, salted, treatment, control, before))
    return FalsePositives(
        salts,
        _found([one.differences for one in divided]),
        _found([one.adjusted for one in divided]),
        sum(one.users.is_mismatch or one.served.is_mismatch for one in divided),
    )


def together(found: Sequence[FalsePositives]) -> FalsePositives:
    """Of several runs."""
    return FalsePositives(
        sum(one.salts for one in found),
        _added([one.by_metric for one in found]),
        _added([one.adjusted for one in found]),
        sum(one.mismatches for one in found),
    )


def _found(divided: Sequence[Mapping[str, RelativeDifference]]) -> dict[str, int]:
    names = [metric.name for metric in METRICS if metric.name in divided[0]]
    return {name: sum(one[name].is_significant for one in divided) for name in names}


def _added(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    return {name: sum(one[name] for one in counts) for name in counts[0]}
