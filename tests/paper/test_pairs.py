"""B+ and D+ on requests small enough to list every pair."""

import numpy as np
import pytest

from easq.events import Answer
from easq.pairs import (
    ContextWeights,
    answer_pairs,
    balanced_weights,
    behaviour_pairs,
    context_pairs,
    shared_weights,
)

S, U, D, N = (
    int(a) for a in (Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED, Answer.NONE)
)

WEIGHTS = ContextWeights(satisfied=0.4, dissatisfied=0.6)


def listed(pairs) -> set[tuple[int, int]]:
    assert len(set(zip(pairs.preferred, pairs.other, strict=True))) == len(pairs.preferred)
    return {(int(a), int(b)) for a, b in zip(pairs.preferred, pairs.other, strict=True)}


def test_behaviour_pairs_stay_inside_a_request_and_among_exposed():
    level = np.array([2, 0, 1, 1, -1, 2])
    exposed = np.array([True, True, True, True, True, False])
    request = np.array([0, 0, 0, 1, 1, 1])
    pairs = behaviour_pairs(level, exposed, request)
    assert listed(pairs) == {(0, 1), (0, 2), (2, 1), (3, 4)}


def test_each_requests_behaviour_pairs_weigh_one_together():
    pairs = behaviour_pairs(np.array([2, 0, 1, 1, 0]), np.ones(5, bool), np.array([0, 0, 0, 1, 1]))
    np.testing.assert_allclose(pairs.weight, [1 / 3, 1 / 3, 1 / 3, 1.0])


def test_equal_levels_make_no_pair():
    assert len(behaviour_pairs(np.ones(4, int), np.ones(4, bool), np.zeros(4, int)).preferred) == 0


def test_satisfied_beats_watched_items_of_no_higher_level_and_dissatisfied_loses_to_watched_ones():
    answer = np.array([S, N, N, N, D, N, N], np.int8)
    level = np.array([1, 1, 2, 0, 0, 0, 0])
    exposed = np.array([True, True, True, False, True, True, True])
    watched = np.array([9, 9, 9, 9, 9, 8, 1], float)
    request = np.array([0, 0, 0, 0, 1, 1, 1])
    pairs = context_pairs(answer, level, exposed, watched, np.full(7, 100.0), request, WEIGHTS)
    assert listed(pairs) == {(0, 1), (5, 4)}
    np.testing.assert_allclose(pairs.weight, [0.4, 0.6])


def test_an_answered_neighbour_is_no_context():
    answer = np.array([S, S, U], np.int8)
    ones = np.ones(3)
    pairs = context_pairs(
        answer, np.zeros(3, int), ones > 0, ones * 9, ones * 9, np.zeros(3, int), WEIGHTS
    )
    assert listed(pairs) == set()


def test_answers_pair_once_where_allowed_and_uncertain_is_dropped():
    index, answer = np.array([10, 11, 12, 13]), np.array([S, D, U, S], np.int8)
    allowed = np.ones((4, 4), bool)
    allowed[3, 1] = False
    assert listed(answer_pairs(index, answer, allowed, 1.0, "drop")) == {(10, 11)}


def test_cross_pairs_share_the_weight_of_their_answers():
    """Two Satisfied against one Dissatisfied: the Satisfied have one pair each, the other two."""
    index, answer = np.arange(3), np.array([S, S, D], np.int8)
    pairs = shared_weights(answer_pairs(index, answer, np.ones((3, 3), bool), 1.0, "drop"))
    np.testing.assert_allclose(pairs.weight, [0.5 * (1 + 1 / 2)] * 2)


def test_the_weight_of_cross_pairs_grows_with_the_answers_not_with_their_square():
    def total(n: int) -> float:
        answer = np.array([S, D] * n, np.int8)
        allowed = np.ones((2 * n, 2 * n), bool)
        return shared_weights(answer_pairs(np.arange(2 * n), answer, allowed, 1.0, "drop")).total

    assert total(20) == pytest.approx(10 * total(2))


def test_uncertain_in_the_middle_weighs_half():
    index, answer = np.array([0, 1, 2]), np.array([S, U, D], np.int8)
    pairs = answer_pairs(index, answer, np.ones((3, 3), bool), 0.2, "middle")
    weights = dict(zip(zip(pairs.preferred, pairs.other, strict=True), pairs.weight, strict=True))
    assert weights == {(0, 1): 0.1, (1, 2): 0.1, (0, 2): 0.2}


def test_an_answers_context_pairs_share_its_weight():
    answer = np.array([S, N, N], np.int8)
    ones = np.ones(3)
    pairs = context_pairs(
        answer, np.zeros(3, int), ones > 0, ones * 9, ones * 9, np.zeros(3, int), WEIGHTS
    )
    np.testing.assert_allclose(pairs.weight, [0.2, 0.2])


def test_the_rarer_answer_weighs_more_so_that_both_kinds_weigh_the_same_in_sum():
    weights = balanced_weights(1.0, satisfied=8, dissatisfied=2)
    assert weights.satisfied * 9 == weights.dissatisfied * 3  # counts plus one each
