"""One difference from the tests in several worlds: random effects, on the log scale.

A test's own interval covers which users were in which arm. Worlds differ too: the true difference
is taken to spread between them (DerSimonian and Laird 1986, "Meta-analysis in clinical trials"),
and the interval is that of Hartung and Knapp (2001), which holds with few worlds, never narrower
than what the tests' own intervals say (Röver, Knapp and Friede 2015).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from easq.experiment.ratio_metrics import LEVEL, RelativeDifference

NAN = float("nan")


class Combined(NamedTuple):
    """The mean difference over worlds; NaN where fewer than two worlds define it."""

    difference: float
    low: float
    high: float
    spread: float
    """Standard deviation of the true log ratio between worlds."""
    worlds: int
    """Where the difference is defined."""

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves out 0; an undefined one does not."""
        return self.low > 0 or self.high < 0


def combine(found: Sequence[RelativeDifference]) -> Combined:
    """Of one metric, a difference a world."""
    told = [one for one in found if np.isfinite(one.log_ratio) and one.error > 0]
    if len(told) < 2:
        return Combined(NAN, NAN, NAN, NAN, len(told))
    log_ratio = np.array([one.log_ratio for one in told])
    variance = np.array([one.error**2 for one in told])
    spread = _variance_between(log_ratio, variance)
    weight = 1 / (variance + spread)
    mean = np.average(log_ratio, weights=weight)
    scatter = np.sum(weight * (log_ratio - mean) ** 2) / (len(told) - 1)
    error = np.sqrt(max(1.0, scatter) / weight.sum())
    margin = stats.t.ppf((1 + LEVEL) / 2, len(told) - 1) * error
    difference, low, high = np.expm1([mean, mean - margin, mean + margin]).tolist()
    return Combined(difference, low, high, float(np.sqrt(spread)), len(told))


def _variance_between(log_ratio: np.ndarray, variance: np.ndarray) -> float:
    """By the method of moments of DerSimonian and Laird; never below 0."""
    weight = 1 / variance
    mean = np.average(log_ratio, weights=weight)
    excess = np.sum(weight * (log_ratio - mean) ** 2) - (len(weight) - 1)
    return float(max(0.0, excess / (weight.sum() - (weight**2).sum() / weight.sum())))
