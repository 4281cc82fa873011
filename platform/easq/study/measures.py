"""The statistics of a study, of arrays of means [..., replicate, point, metric]."""

from typing import Any

import numpy as np

from easq.study.curves import cost_percent, from_base, gain, gain_at
from easq.study.evidence import Evidence
from easq.study.intervals import Statistic
from easq.study.user_sums import ANSWERS

SUBJECT = "easq"
"""Whose curve the others are compared with, unless another is named."""


def mean_of(of: Evidence, point: int, name: str) -> Statistic:
    """A metric at a point, over replicates."""
    m = of.metrics.index(name)
    return lambda means: means[..., point, m].mean(-1)


def costs(of: Evidence, points: slice) -> Statistic:
    """Behaviour lost in % at each of some points, [..., point]."""
    b = of.metrics.index(of.behaviour)
    return lambda means: cost_percent(means[..., points, b], means[..., of.base, b])


def gains(of: Evidence, points: slice, measure: str) -> Statistic:
    """Satisfaction gained at each of some points, [..., point]."""
    m = of.metrics.index(measure)
    return lambda means: gain(means[..., points, m], means[..., of.base, m])


def first(statistic: Statistic) -> Statistic:
    """Of a statistic of several points, the first's."""
    return lambda means: statistic(means)[..., 0]


def reached(of: Evidence, name: str, measure: str, budget: float) -> Statistic:
    """Gain of a method's curve where it costs `budget` %."""
    cost, gained = costs(of, of.places[name]), gains(of, of.places[name], measure)
    return lambda means: gain_at(from_base(cost(means)), from_base(gained(means)), budget)


def ahead(of: Evidence, subject: str, name: str, measure: str, budget: float) -> Statistic:
    """Gain of the subject's curve less that of a method's, both at `budget` %."""
    mine, other = (reached(of, n, measure, budget) for n in (subject, name))
    return lambda means: mine(means) - other(means)


def above_curve(of: Evidence, point: int, rival: str, measure: str) -> Statistic:
    """Gain at a point less that of a method's curve where it costs the same.

    A point that costs less than nothing is compared with EMER.
    """
    only, curve = slice(point, point + 1), of.places[rival]
    cost, gained = first(costs(of, only)), first(gains(of, only, measure))
    of_cost, of_gain = costs(of, curve), gains(of, curve, measure)

    def statistic(means: np.ndarray) -> np.ndarray:
        at_cost = np.maximum(cost(means), 0)
        curve_gain = gain_at(from_base(of_cost(means)), from_base(of_gain(means)), at_cost)
        return gained(means) - curve_gain

    return statistic


def improvement(of: Evidence, subject: int, other: int) -> Statistic:
    """Unweighted mean of the relative gains in the six columns, in % (EASQ §5.2)."""
    columns = [of.metrics.index(name) for name in ANSWERS]

    def statistic(means: np.ndarray) -> np.ndarray:
        a, b = (means[..., point, :][..., columns].mean(-2) for point in (subject, other))
        relative = np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b != 0)
        return 100 * (relative - 1).mean(-1)

    return statistic


def as_json(found: Any) -> Any:
    """Records and intervals as JSON; what is not a number is null."""
    if (fields := getattr(found, "_fields", None)) is not None:
        return {name: as_json(value) for name, value in zip(fields, found, strict=True)}
    if isinstance(found, dict):
        return {str(name): as_json(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [as_json(value) for value in found]
    if isinstance(found, float) and not np.isfinite(found):
        return None
    return found
