"""Relative differences of ratio metrics between two groups of users, with intervals.

A metric is a ratio of sums over users, sum x / sum y (y = 1: a mean per user). Users are
independent, their views are not, so intervals are clustered by user: by the delta method
(Deng, Knoblich and Lu 2018, "Applying the Delta Method in Metric Analytics"), on the log scale,
where a ratio is nearer to normal and its interval never goes below -100 %. The bootstrap is the
check of it, slower and without that assumption.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
POWER = 0.8
_UPPER = (1 + LEVEL) / 2


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

    @property
    def log_ratio(self) -> float:
        return float(np.log1p(self.difference))

    @property
    def error(self) -> float:
        """Standard error of the log ratio."""
        return float((np.log1p(self.high) - np.log1p(self.low)) / (2 * stats.norm.ppf(_UPPER)))

    @property
    def detectable(self) -> float:
        """The rise that a test with this error finds four times in five (POWER)."""
        return float(np.expm1((stats.norm.ppf(_UPPER) + stats.norm.ppf(POWER)) * self.error))


def relative_difference(treatment: PerUser, control: PerUser) -> RelativeDifference:
    """With an interval by the delta method.

    Raises ValueError when a group has fewer than two users or shapes differ.
    """
    groups = (treatment, control)
    for group in groups:
        _check(group)
    if not all(group.x.sum() > 0 and group.y.sum() > 0 for group in groups):
        return _undefined(treatment, control)
    log_ratio = math.log(treatment.ratio / control.ratio)
    return of_log(treatment, control, log_ratio, standard_error([influence(g) for g in groups]))


def standard_error(groups: Sequence[np.ndarray]) -> float:
    """Of the difference between two groups' means."""
    return math.sqrt(sum(float(values.var(ddof=1)) / len(values) for values in groups))


def influence(group: PerUser) -> Float[np.ndarray, "user"]:
    """What each user adds to log(sum x / sum y), times the users: x / mean x - y / mean y."""
    return group.x / group.x.mean() - group.y / group.y.mean()


def of_log(
    treatment: PerUser, control: PerUser, log_ratio: float, error: float
) -> RelativeDifference:
    """The difference whose logarithm is known with a standard error."""
    margin = float(stats.norm.ppf(_UPPER)) * error
    low, middle, high = map(math.expm1, (log_ratio - margin, log_ratio, log_ratio + margin))
    return RelativeDifference(treatment.ratio, control.ratio, middle, low, high)


def bootstrap_difference(
    treatment: PerUser, control: PerUser, draws: int = 2000, seed: int = 0
) -> RelativeDifference:
    """With a percentile interval over resampled users of both groups."""
    rng = np.random.default_rng(seed)
    drawn = _resampled(treatment, draws, rng) / _resampled(control, draws, rng) - 1
    low, high = np.quantile(drawn, [1 - _UPPER, _UPPER]).tolist()
    middle = treatment.ratio / control.ratio - 1
    return RelativeDifference(treatment.ratio, control.ratio, middle, low, high)


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
