"""Relative differences of ratio metrics between two groups of users, with intervals.

A metric is a ratio of sums over users, sum x / sum y (y = 1: a mean per user). Users are
independent, their views are not, so intervals are clustered by user: by the delta method
(Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics"), on the log scale,
where a ratio is nearer to normal and its interval never goes below -100 %. The bootstrap is the
check of it, slower and without that assumption.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95


class PerUser(NamedTuple):
    """What each of U users of one group adds to numerator and denominator."""

    x: Float[np.ndarray, "user"]
    y: Float[np.ndarray, "user"]

    @property
    def ratio(self) -> float:
        return float(self.x.sum() / self.y.sum())


class RelativeDifference(NamedTuple):
    """treatment / control - 1; NaN where a group has nothing to divide by."""

    treatment: float
    control: float
    difference: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves out 0; an undefined one does not."""
        return self.low > 0 or self.high < 0


def relative_difference(
    treatment: PerUser, control: PerUser, level: float = LEVEL
) -> RelativeDifference:
    """With an interval by the delta method.

    Raises ValueError when a group has fewer than two users or shapes differ.
    """
    for group in (treatment, control):
        _check(group)
    if not all(group.x.sum() > 0 and group.y.sum() > 0 for group in (treatment, control)):
        return _undefined(treatment, control)
    log_ratio = np.log(treatment.ratio / control.ratio)
    error = np.sqrt(_log_variance(treatment) + _log_variance(control))
    margin = stats.norm.ppf((1 + level) / 2) * error
    low, middle, high = np.expm1([log_ratio - margin, log_ratio, log_ratio + margin]).tolist()
    return RelativeDifference(treatment.ratio, control.ratio, middle, low, high)


def bootstrap_difference(
    treatment: PerUser, control: PerUser, draws: int = 2000, seed: int = 0, level: float = LEVEL
) -> RelativeDifference:
    """With a percentile interval over resampled users of both groups."""
    rng = np.random.default_rng(seed)
    drawn = _resampled(treatment, draws, rng) / _resampled(control, draws, rng) - 1
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()
    middle = treatment.ratio / control.ratio - 1
    return RelativeDifference(treatment.ratio, control.ratio, middle, low, high)


def _log_variance(group: PerUser) -> float:
    """Of log(sum x / sum y): d log R = mean of (x / mean x - y / mean y)."""
    influence = group.x / group.x.mean() - group.y / group.y.mean()
    return float(influence.var(ddof=1) / len(influence))


def _resampled(group: PerUser, draws: int, rng: np.random.Generator) -> np.ndarray:
    users = len(group.x)
    counts = (rng.multinomial(users, np.full(users, 1 / users)) for _ in range(draws))
    sums = np.array([count @ np.stack(group, axis=1) for count in counts])
    return sums[:, 0] / sums[:, 1]


def _undefined(treatment: PerUser, control: PerUser) -> RelativeDifference:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [float(np.divide(group.x.sum(), group.y.sum())) for group in (treatment, control)]
    return RelativeDifference(*ratios, *[float("nan")] * 3)


def _check(group: PerUser) -> None:
    if group.x.shape != group.y.shape or len(group.x) < 2:
        raise ValueError(
            f"a group needs at least two users, each with x and y: got shapes {group.x.shape} and "
            f"{group.y.shape}; give the arm a larger share"
        )
