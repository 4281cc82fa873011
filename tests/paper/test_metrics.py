"""EASQ §5.1.2: HR, NDCG, MRR on lists with several positives, and GAUC."""

from itertools import pairwise, permutations
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easq.metrics import auc, chance_in_top, hit_rate, ndcg, percentile, rank, reciprocal_rank

# One list by falling score: relevant at ranks 2, 3 and 5.
SCORES = np.array([0.9, 0.7, 0.5, 0.3, 0.1])
RELEVANT = np.array([False, True, True, False, True])
ONE_LIST = np.zeros(5, dtype=np.int64)

METRICS = {
    "ndcg@1": lambda ranked: ndcg(ranked, 1),
    "ndcg@3": lambda ranked: ndcg(ranked, 3),
    "ndcg@20": lambda ranked: ndcg(ranked, 20),
    "hr@1": lambda ranked: hit_rate(ranked, 1),
    "hr@2": lambda ranked: hit_rate(ranked, 2),
    "hr@20": lambda ranked: hit_rate(ranked, 20),
    "mrr": reciprocal_rank,
    "auc": auc,
}


def in_this_order(gains: tuple[int, ...]) -> dict[str, float]:
    """The metrics of gains already in ranked order, by their definitions."""

    def dcg(ordered, k):
        return sum(g / log2(1 + r) for r, g in enumerate(ordered[:k], start=1))

    best = sorted(gains, reverse=True)
    hits = [r for r, g in enumerate(gains) if g > 0]
    misses = [r for r, g in enumerate(gains) if g == 0]
    values = {f"ndcg@{k}": dcg(gains, k) / dcg(best, k) for k in (1, 3, 20)}
    values |= {f"hr@{k}": float(any(gains[:k])) for k in (1, 2, 20)}
    values["mrr"] = 1 / (hits[0] + 1)
    if misses:
        values["auc"] = sum(h < m for h in hits for m in misses) / (len(hits) * len(misses))
    return values


candidates = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6)


@given(candidates.filter(lambda rows: any(gain for _, gain in rows)))
def test_ties_give_the_mean_over_all_orders_of_the_tied(rows):
    orders = [o for o in permutations(rows) if all(x[0] >= y[0] for x, y in pairwise(o))]
    each = [in_this_order(tuple(gain for _, gain in o)) for o in orders]
    scores, gains = np.array(rows).T
    ranked = rank(scores.astype(np.float64), gains, np.full(len(rows), 7))
    for name in each[0]:
        expected = np.mean([values[name] for values in each])
        assert METRICS[name](ranked).values == pytest.approx([expected], abs=1e-12)


def test_a_list_with_three_positives_by_hand():
    ranked = rank(SCORES, RELEVANT, ONE_LIST)
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    assert ndcg(ranked, 3).values == pytest.approx([(1 / log2(3) + 1 / log2(4)) / ideal])
    assert ndcg(ranked, 5).values == pytest.approx([(1 / log2(3) + 0.5 + 1 / log2(6)) / ideal])
    assert hit_rate(ranked, 1).values.tolist() == [0]
    assert hit_rate(ranked, 2).values.tolist() == [1]
    assert reciprocal_rank(ranked).values == pytest.approx([1 / 2])
    # Pairs in order: rank 2 and 3 above rank 4; the others of the six are not.
    assert auc(ranked).values == pytest.approx([2 / 6])


def test_graded_gains_by_hand():
    # Gains 1, 3 at ranks 1, 2; the best order swaps them.
    ranked = rank(np.array([2.0, 1.0]), np.array([1.0, 3.0]), np.zeros(2, dtype=np.int64))
    assert ndcg(ranked, 5).values == pytest.approx([(1 + 3 / log2(3)) / (3 + 1 / log2(3))])
    assert ndcg(ranked, 1).values == pytest.approx([1 / 3])


def test_a_tie_over_the_cut_off_by_hand():
    # Rank 1 misses, then four tied with two hits; @3 leaves the tie two slots.
    scores, gains = np.array([5.0, 0, 0, 0, 0]), np.array([0, 1, 1, 0, 0])
    ranked = rank(scores, gains, ONE_LIST)
    assert hit_rate(ranked, 3).values == pytest.approx([1 - (2 / 4) * (1 / 3)])
    # First hit at rank 2, 3, 4 with chances 1/2, 1/3, 1/6.
    expected = 1 / 2 / 2 + 1 / 3 / 3 + 1 / 6 / 4
    assert reciprocal_rank(ranked).values == pytest.approx([expected])
    gain_per_slot = 1 / 2
    share = gain_per_slot * (1 / log2(3) + 1 / log2(4))
    assert ndcg(ranked, 3).values == pytest.approx([share / (1 + 1 / log2(3))])


@pytest.mark.parametrize("r", [1, 2, 5, 6, 100])
def test_with_a_single_positive_the_metrics_are_functions_of_its_rank(r):
    scores, relevant = -np.arange(100.0), np.arange(1, 101) == r
    ranked = rank(scores, relevant, np.zeros(100, dtype=np.int64))
    assert hit_rate(ranked, 5).values.tolist() == [float(r <= 5)]
    assert ndcg(ranked, 5).values == pytest.approx([1 / log2(1 + r) if r <= 5 else 0])
    assert reciprocal_rank(ranked).values == pytest.approx([1 / r])
    assert auc(ranked).values == pytest.approx([1 - (r - 1) / 99])


def test_a_collapsed_model_scores_like_chance_on_long_lists():
    gains = np.zeros(1000, dtype=np.int64)
    gains[:10] = 1  # would be perfect if ties kept the order of the input
    ranked = rank(np.zeros(1000), gains, np.zeros(1000, dtype=np.int64))
    assert auc(ranked).values == pytest.approx([0.5])
    assert hit_rate(ranked, 1).values == pytest.approx([0.01], abs=1e-12)
    assert ndcg(ranked, 10).values == pytest.approx([0.01])


def lists_at_random(seed: int):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, 200).astype(np.float32)
    return scores, rng.integers(0, 3, 200), rng.integers(-5, 20, 200)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_order_of_the_rows_changes_nothing(metric):
    scores, gains, group = lists_at_random(0)
    shuffle = np.random.default_rng(1).permutation(200)
    straight = metric(rank(scores, gains, group))
    shuffled = metric(rank(scores[shuffle], gains[shuffle], group[shuffle]))
    assert len(straight.ids) > 10
    for one, other in zip(straight, shuffled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_each_list_is_ranked_for_itself(metric):
    scores, gains, group = lists_at_random(2)
    together = metric(rank(scores, gains, group))
    for list_id, value, rows in zip(*together, strict=True):
        own = group == list_id
        assert rows == own.sum()
        alone = metric(rank(scores[own], gains[own], group[own]))
        assert alone.values == pytest.approx([value])


def test_lists_without_a_positive_are_left_out():
    ranked = rank(SCORES, RELEVANT, np.array([9, 4, 9, 6, 4]))
    assert hit_rate(ranked, 1).ids.tolist() == [4, 9]
    assert reciprocal_rank(ranked).values.tolist() == [1, 0.5]


def test_gauc_weighs_lists_by_their_rows():
    # List 1: 2 rows in the right order. List 2: 4 rows, 1 of 3 pairs in order. List 3: no negative.
    scores = np.array([2.0, 1.0, 4.0, 3.0, 2.0, 1.0, 1.0])
    relevant = np.array([1, 0, 0, 0, 1, 0, 1])
    per_list = auc(rank(scores, relevant, np.array([1, 1, 2, 2, 2, 2, 3])))
    assert per_list.ids.tolist() == [1, 2]
    gauc = np.average(per_list.values, weights=per_list.rows)
    assert gauc == pytest.approx((2 * 1 + 4 / 3) / 6)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_no_lists_give_no_values(metric):
    none = np.zeros(0)
    assert metric(rank(none, none, none.astype(np.int64))).values.shape == (0,)
    assert metric(rank(np.ones(3), np.zeros(3), np.arange(3))).values.shape == (0,)


def test_a_score_that_is_not_a_number_is_refused():
    scores, group = np.array([np.nan, 1.0]), np.array([1, 2])
    with pytest.raises(ValueError, match="1 of 2 scores are not a number"):
        rank(scores, np.array([0, 1]), group)
    with pytest.raises(ValueError, match="1 of 2 scores are not a number"):
        percentile(scores, group)


def test_a_negative_gain_is_refused():
    with pytest.raises(ValueError, match="gains must be 0"):
        rank(np.ones(2), np.array([1, -1]), np.zeros(2, dtype=np.int64))


def test_a_percentile_is_the_share_outranked_with_ties_half():
    scores = np.array([3.0, 7.0, 1.0, 7.0, 7.0, 5.0])
    group = np.array([2, 1, 2, 1, 2, 1])
    # List 1: 7, 7, 5; list 2: 7, 3, 1; in sixths.
    sixths = np.array([3, 4, 1, 4, 5, 1])
    assert percentile(scores, group) == pytest.approx(sixths / 6)


def test_equal_places_in_requests_of_different_scale_tie_exactly():
    scores = np.concatenate([np.arange(7.0), 1000 * np.arange(7.0) - 3])
    places = percentile(scores, np.repeat([0, 1], 7))
    assert (places[:7] == places[7:]).all()


def test_the_chance_to_be_among_the_first_shares_a_ties_places():
    scores = np.array([5.0, 1.0, 3.0, 3.0, 3.0, 9.0])
    group = np.array([1, 1, 1, 1, 1, 2])
    # First two of list 1: the 5, then one of three; list 2 has fewer than two.
    assert chance_in_top(scores, group, 2) == pytest.approx([1, 0, 1 / 3, 1 / 3, 1 / 3, 1])
