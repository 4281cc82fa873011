"""How sure is a difference between two models? A paired bootstrap over users."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

BLOCK = 4_000_000
"""Resampling counts held at once: 32 MB."""


class Difference(NamedTuple):
    """a - b with its 95 % percentile interval."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    a: Float[np.ndarray, "*seed list"],
    b: Float[np.ndarray, "*seed list"],
    unit: Shaped[np.ndarray, "list"],
    n: int = 2000,
    seed: int = 0,
    weight: Shaped[np.ndarray, "list"] | None = None,
    relative: bool = False,
) -> Difference:
    """The weighted mean of a - b over lists, resampling whole units (users) with their lists.

    `weight` is each list's (1 by default; a list's rows for row-weighted GAUC): both models' means
    are ratios of sums, so numerator and denominator are resampled together. `relative` divides
    by b's mean. With a leading axis of training seeds, lists are averaged over seeds first: the
    interval then covers which users were seen, for these very runs; it does not cover what
    another training seed would give, for which look at the differences seed by seed.

    Raises ValueError when shapes differ, nothing is given, or a value or weight is unusable.
    """
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    if a.shape != b.shape or a.shape[-1:] != unit.shape or not len(unit):
        raise ValueError(
            "a and b must be values of the same lists, at least one, and unit name each list's "
            f"user: got shapes {a.shape}, {b.shape}, {unit.shape}"
        )
    weights = np.ones(len(unit)) if weight is None else weight.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (weights > 0).all()):
        raise ValueError("values must be finite and weights positive: leave out undefined lists")
    a, b = (x.reshape(-1, len(unit)).mean(0) for x in (a, b))
    _, of = np.unique(unit, return_inverse=True)
    sums = np.stack([np.bincount(of, weights * x) for x in (a, b, np.ones(len(unit)))], axis=1)
    drawn = _differences(_resampled(sums, n, seed), relative)
    low, high = np.percentile(drawn, [2.5, 97.5])
    mean = _differences(sums.sum(0, keepdims=True), relative)
    return Difference(float(mean[0]), float(low), float(high))


def _resampled(sums: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Totals [n, 3] of n draws of as many units as there are."""
    rng, units = np.random.default_rng(seed), len(sums)
    block = max(1, BLOCK // units)
    sizes = [min(block, n - done) for done in range(0, n, block)]
    chances = np.full(units, 1 / units)
    return np.concatenate([rng.multinomial(units, chances, size) @ sums for size in sizes])


def _differences(sums: Float[np.ndarray, "draw 3"], relative: bool) -> Float[np.ndarray, "draw"]:
    a, b, weight = sums.T
    if relative and (b == 0).any():
        raise ValueError("a relative difference needs a baseline whose mean is not 0")
    return (a - b) / (b if relative else weight)
