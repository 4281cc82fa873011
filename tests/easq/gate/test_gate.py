"""The gate's figures by hand, and its rules one at a time."""

import numpy as np
import pytest
import torch

from easq.evaluate import Answered
from easq.events import Answer
from easq.gate import GateConfig, is_enough, weights_problem
from easq.gate_figures import (
    Interval,
    WeightFacts,
    clustered_mean,
    norm_growth,
    pooled_accuracy,
    rank_correlation,
    weight_facts,
)


def test_the_error_of_a_mean_treats_each_users_lists_as_one():
    values = np.array([1.0, 1.0, 0.0, 0.0])
    alone = clustered_mean(values, np.arange(4))
    together = clustered_mean(values, np.array([0, 0, 1, 1]))
    assert alone.mean == together.mean == 0.5
    assert alone.error == pytest.approx(values.std(ddof=1) / 2)
    assert together.error == pytest.approx(0.5)  # two users, 0.5 apart from the mean each


def test_nothing_is_sure_about_one_user_or_none():
    assert clustered_mean(np.array([0.1, 0.2]), np.zeros(2)).error == np.inf
    assert clustered_mean(np.zeros(0), np.zeros(0)).error == np.inf


def answers(place: list[float], given: list[Answer]) -> Answered:
    return Answered(np.arange(len(place)), np.array(place), np.array(given))


def test_pair_accuracy_is_of_all_pairs_of_satisfied_and_dissatisfied():
    given = [Answer.SATISFIED, Answer.SATISFIED, Answer.DISSATISFIED, Answer.UNCERTAIN]
    right = answers([0.9, 0.5, 0.1, 0.3], given)
    half = answers([0.9, 0.1, 0.5, 0.3], given)
    change = pooled_accuracy(half, right, min_answers=4)
    assert change is not None
    assert change.mean == pytest.approx(-0.5)
    assert pooled_accuracy(right, right, min_answers=4) == Interval(0.0, 0.0)


def test_the_error_of_pair_accuracy_is_what_repeated_draws_show():
    """200 users with a few answers each, drawn 300 times; champion and candidate differ."""
    rng = np.random.default_rng(0)
    changes = [_drawn_change(rng) for _ in range(300)]
    means, errors = np.array(changes).T
    assert errors.mean() == pytest.approx(means.std(ddof=1), rel=0.15)


def _drawn_change(rng: np.random.Generator) -> Interval:
    user = rng.integers(200, size=500)
    opinion = rng.normal(size=200)[user]  # a user's answers hang together
    satisfied = rng.random(500) < 0.7
    given = np.where(satisfied, Answer.SATISFIED, Answer.DISSATISFIED)
    place = satisfied + opinion + rng.normal(size=500)
    other = satisfied + 0.5 * opinion + rng.normal(size=500)
    change = pooled_accuracy(Answered(user, place, given), Answered(user, other, given), 500)
    assert change is not None
    return change


@pytest.mark.parametrize("satisfied", [0, 3, 99])
def test_too_few_answers_or_too_few_of_a_kind_are_not_judged(satisfied):
    given = [Answer.SATISFIED] * satisfied + [Answer.DISSATISFIED] * (100 - satisfied)
    few = answers(list(np.linspace(0, 1, 100)), given)
    assert pooled_accuracy(few, few, min_answers=100) is None
    assert pooled_accuracy(few, few, min_answers=101) is None


def test_rank_correlation_is_inside_requests_only():
    request = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([1.0, 2.0, 3.0, 11.0, 12.0, 13.0])
    shifted = np.array([11.0, 12.0, 13.0, 1.0, 2.0, 3.0])
    assert rank_correlation(scores, shifted, request) == pytest.approx(1.0)
    assert rank_correlation(scores, -scores, request) == pytest.approx(-1.0)
    assert rank_correlation(scores, np.zeros(6), request) == 0.0


def test_facts_name_what_is_not_finite_and_what_grew():
    weights = {"ranker.main.a": torch.ones(4), "rows.8": torch.ones(3, 8)}
    grown = {"ranker.main.a": torch.ones(4), "rows.8": torch.ones(3, 8)}
    grown["rows.8"][1] *= 100
    assert norm_growth(weight_facts(grown), weight_facts(weights)) == (
        "the longest row of rows.8",
        pytest.approx(100),
    )
    grown["rows.8"][1, 0] = float("inf")
    assert weight_facts(grown).not_finite == ("rows.8",)


def test_norms_may_grow_further_from_the_anchor_than_from_the_champion():
    candidate, other = (WeightFacts((), {"ranker.main": norm}) for norm in (5.0, 1.0))
    config = GateConfig(norm_growth=3.0)
    assert weights_problem(config, candidate, {"anchor": other}) is None
    problem = weights_problem(config, candidate, {"anchor": other, "champion": other})
    assert problem == "the norm of ranker.main is 5 x the champion's; at most 3 x"


def test_enough_was_seen_when_the_widest_interval_is_narrow_or_patience_ends():
    config = GateConfig(behaviour_precision=0.002, min_requests=100, max_requests=1000)
    narrow, wide = Interval(-0.5, 0.001), Interval(0.5, 0.003)
    assert is_enough(config, 100, [narrow, narrow])
    assert not is_enough(config, 99, [narrow, narrow])
    assert not is_enough(config, 999, [narrow, wide])
    assert is_enough(config, 1000, [narrow, wide])
