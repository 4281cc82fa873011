"""Did the groups get the users they were to get? If not, no other figure of the test means much.

A mismatch shows that users of one arm are lost or counted twice (Fabijan et al. 2019).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

ALARM = 1e-3
"""A smaller p-value is a mismatch. Low, for the check is made every time."""


class SampleRatio(NamedTuple):
    """Users seen, and users that the shares make one expect."""

    seen: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float

    @property
    def is_mismatch(self) -> bool:
        return self.p_value < ALARM


def sample_ratio(seen: list[int], shares: list[float]) -> SampleRatio:
    """Pearson's chi-square test of users by group against shares, which need not sum to 1.

    Raises ValueError when lengths differ, or nobody was seen.
    """
    if len(seen) != len(shares) or not sum(seen):
        raise ValueError(f"expected users for each of {len(shares)} shares, and some; got {seen}")
    expected = sum(seen) * np.array(shares) / sum(shares)
    p_value = float(stats.chisquare(seen, expected).pvalue)
    return SampleRatio(tuple(seen), tuple(expected.tolist()), p_value)
