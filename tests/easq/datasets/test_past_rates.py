import numpy as np
import pytest

from easq.datasets.past_rates import Past, smoothed_rates

ITEM = np.array([0, 1, 0, 0, 1, 0])
DAY = np.array([5, 5, 6, 6, 6, 7])
VIEWED = np.array([1, 0, 1, 0, 1, 0])


def rates(viewed: np.ndarray) -> np.ndarray:
    everyone = np.zeros_like(ITEM)
    return smoothed_rates(
        Past.of(ITEM, DAY, ITEM, DAY), Past.of(everyone, DAY, everyone, DAY), viewed, strength=2.0
    )


def test_a_rate_counts_earlier_days_and_leans_on_the_rate_of_all():
    # Day 6: all have seen 1 of 2, so item 0 has (1 + 2/2) / (1 + 2), item 1 (0 + 2/2) / (1 + 2).
    # Day 7: all 3 of 5, item 0 2 of 3: (2 + 2 * 0.6) / (3 + 2).
    assert rates(VIEWED) == pytest.approx([0, 0, 2 / 3, 2 / 3, 1 / 3, 0.64])


@pytest.mark.parametrize("row", range(6))
def test_an_outcome_changes_no_rate_of_its_own_day_or_before(row):
    changed = VIEWED.copy()
    changed[row] = 1 - changed[row]
    same = DAY[row] >= DAY
    assert rates(changed)[same].tolist() == rates(VIEWED)[same].tolist()
    if DAY[row] < 7:
        assert rates(changed)[5] != rates(VIEWED)[5]


def test_queries_may_ask_about_days_and_entities_without_rows():
    past = Past.of(ITEM, DAY, np.array([0, 0, 2]), np.array([4, 9, 9]))
    assert past.counts.tolist() == [0, 4, 0]
    assert past.sums(VIEWED).tolist() == [0, 2, 0]
