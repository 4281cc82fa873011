"""How sure is a statistic of many trials? A hierarchical bootstrap: worlds, then seeds, then users.

All methods share a draw: the same worlds, the same seeds in them, the same users, so differences
are paired. Few worlds spread less than the worlds they stand for, so intervals over several are
stretched by sqrt(n / (n - 1)) t / z, the correction of Hesterberg's expanded percentile interval
(The American Statistician 69, 2015); where users make most of the noise it is more than enough.
With one world nothing is known of others, and nothing is stretched: of synthetic data with two
seeds, such intervals hold the truth in 62 % (seeds make the noise) to 88 % (users make it).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

DRAWS = 1000
Statistic = Callable[[np.ndarray], np.ndarray]
"""Means [..., replicate, point, metric] -> one number [...]; a replicate is a world and a seed."""


class Interval(NamedTuple):
    """A value with its 95 % percentile interval."""

    value: float
    low: float
    high: float
    defined: float
    """Share of the draws in which the statistic is a number; the interval is of those."""


class Draws(NamedTuple):
    """Means of the data, and of every draw."""

    observed: np.ndarray  # [replicate, point, metric]
    drawn: np.ndarray  # [draw, replicate, point, metric]
    stretch: float  # of the interval, about the value

    def interval(self, statistic: Statistic) -> Interval:
        value, values = float(statistic(self.observed)), statistic(self.drawn)
        defined = values[np.isfinite(values)]
        if not len(defined):
            return Interval(value, np.nan, np.nan, 0.0)
        low, high = value + self.stretch * (np.percentile(defined, [2.5, 97.5]) - value)
        return Interval(value, float(low), float(high), len(defined) / len(values))


def draw(worlds: Sequence[np.ndarray], n: int = DRAWS, seed: int = 0) -> Draws:
    """Resample. Each world is [seed, point, metric, 2, user]: sums and weights.

    Raises ValueError unless all worlds have the same seeds, points and metrics.
    """
    shapes = {world.shape[:-1] for world in worlds}
    if len(shapes) != 1:
        raise ValueError(f"worlds need the same seeds, points and metrics, got {sorted(shapes)}")
    seeds, points, metrics, _ = shapes.pop()
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(worlds), size=(n, len(worlds)))
    drawn = np.empty((n, len(worlds), seeds, points, metrics))
    for index, world in enumerate(worlds):
        slots = chosen == index
        drawn[slots] = _resampled(world, int(slots.sum()), rng)
    observed = np.concatenate([_means(world.sum(-1, dtype=np.float64)) for world in worlds])
    return Draws(observed, drawn.reshape(n, -1, points, metrics), _stretch(len(worlds)))


def _stretch(worlds: int) -> float:
    if worlds == 1:
        return 1.0
    t, z = stats.t.ppf(0.975, worlds - 1), stats.norm.ppf(0.975)
    return float((worlds / (worlds - 1)) ** 0.5 * t / z)


def _resampled(world: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n draws of seeds and users of one world, [n, seed, point, metric]."""
    seeds, users = world.shape[0], world.shape[-1]
    counts = rng.multinomial(users, np.full(users, 1 / users), n).astype(world.dtype)
    totals = np.moveaxis(world @ counts.T, -1, 0)
    of_seed = rng.integers(seeds, size=(n, seeds))
    return _means(totals[np.arange(n)[:, None], of_seed])


def _means(totals: np.ndarray) -> np.ndarray:
    """Sums over weights on the last axis; not a number where nothing has weight."""
    weight = totals[..., 1]
    return np.divide(totals[..., 0], weight, out=np.full(weight.shape, np.nan), where=weight > 0)
