"""What satisfaction costs: a method's curve, and its gain where it has cost so much behaviour.

Costs and gains are against EMER in the same world and from the same weights. A curve starts at
EMER and runs straight between the values of the knob: what lies between two rankers can be had by
serving each to a share of the requests.
"""

import numpy as np

BUDGETS = (1.0, 3.0)
"""Behaviour lost, in % of EMER's."""


def cost_percent(behaviour: np.ndarray, of_base: np.ndarray) -> np.ndarray:
    """Behaviour lost in %; mean over replicates, [..., replicate, point] -> [..., point]."""
    return (100 * (1 - behaviour / of_base[..., None])).mean(-2)


def gain(satisfaction: np.ndarray, of_base: np.ndarray) -> np.ndarray:
    """Satisfaction won; mean over replicates, [..., replicate, point] -> [..., point]."""
    return (satisfaction - of_base[..., None]).mean(-2)


def gain_at(cost: np.ndarray, gained: np.ndarray, budget: float | np.ndarray) -> np.ndarray:
    """Gain where the curve first costs `budget`, walking up the knob; [..., point] -> [...].

    Not a number where it never does: nothing is claimed beyond the values that were tried.
    """
    budgets = np.asarray(budget)[..., None]
    before, after = cost[..., :-1], cost[..., 1:]
    crosses = (before <= budgets) & (budgets <= after)
    at = crosses.argmax(-1)[..., None]
    low, high, start, end = (
        np.take_along_axis(x, at, -1) for x in (before, after, gained[..., :-1], gained[..., 1:])
    )
    step = np.where(high > low, high - low, 1.0)
    value = start + (budgets - low) / step * (end - start)
    return np.where(crosses.any(-1), value[..., 0], np.nan)


def from_base(points: np.ndarray) -> np.ndarray:
    """A curve with its start at EMER, which costs and gains nothing."""
    return np.concatenate([np.zeros((*points.shape[:-1], 1)), points], axis=-1)
