"""Rates from the past only: what was known of an item, author or viewer at local midnight.

State is frozen at the start of a day, so nothing that happens on a day changes a number that is
used on that day.
"""

from typing import NamedTuple, Self

import numpy as np


class Past(NamedTuple):
    """For each of N queries: which rows of the log belong to its entity and lie before its day."""

    order: np.ndarray  # rows of the log by entity and day, [rows]
    first: np.ndarray  # [N], where the entity's rows start in that order
    end: np.ndarray  # [N], where the query's own day starts

    @classmethod
    def of(
        cls, entity: np.ndarray, day: np.ndarray, at_entity: np.ndarray, at_day: np.ndarray
    ) -> Self:
        """Entities are indices >= 0, days whole numbers; the arguments are [rows] and [N]."""
        begin = min(day.min(), at_day.min())
        span = max(day.max(), at_day.max()) - begin + 1
        key = entity * span + (day - begin)
        order = np.argsort(key, kind="stable")
        first = np.searchsorted(key[order], at_entity * span)
        end = np.searchsorted(key[order], at_entity * span + (at_day - begin))
        return cls(order, first, end)

    @property
    def counts(self) -> np.ndarray:
        """Rows in each query's past, int [N]."""
        return self.end - self.first

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum of a column of the log over each query's past, float [N]."""
        total = np.concatenate([[0.0], np.cumsum(values[self.order], dtype=np.float64)])
        return total[self.end] - total[self.first]


def smoothed_rates(
    entity: Past, everyone: Past, happened: np.ndarray, strength: float
) -> np.ndarray:
    """(positives + strength * prior) / (count + strength), float [N].

    The prior is the rate over everyone's rows of the same past: 0 where there is no past at all.
    """
    prior = everyone.sums(happened) / np.maximum(everyone.counts, 1)
    return (entity.sums(happened) + strength * prior) / (entity.counts + strength)
