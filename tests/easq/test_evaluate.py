from math import log2

import numpy as np
import pyarrow as pa
import pytest

from easq.evaluate import (
    CUTOFFS,
    Sums,
    answered,
    behaviour_lists,
    behaviour_sums,
    long_view_lists,
    merge,
    satisfaction_lists,
    satisfaction_sums,
)
from easq.events import BEHAVIOURS, Answer
from easq.features import Categorical, FeatureSpec
from easq.metrics import hit_rate, ndcg, reciprocal_rank
from easq.samples import (
    ANSWER_SAMPLE,
    BEHAVIOUR_SAMPLE,
    BehaviourOrder,
    Flat,
    flatten,
    sample_schema,
)

SPEC = FeatureSpec(
    categorical=(
        Categorical(name="user_id", of="user", width=8, rows=10),
        Categorical(name="item_id", of="item", width=8, rows=10),
    )
)
ORDER = BehaviourOrder()
NONE, SATISFIED, UNCERTAIN, DISSATISFIED = Answer


def request(user: int, candidates: list[str | None], answers=None, kind=BEHAVIOUR_SAMPLE) -> dict:
    """Each candidate is what its viewer did, names joined by "+"; None was not exposed."""
    n = len(candidates)
    did = [set((c or "").split("+")) for c in candidates]
    return {
        "request_id": f"of {user}",
        "user_id": user,
        "scenario": "main",
        "request_time_ms": 0,
        "kind": kind,
        "item_id": list(range(n)),
        "exposed": [c is not None for c in candidates],
        "watched_seconds": [0.0] * n,
        "duration_seconds": [30.0] * n,
        **{f"behaviour.{name}": [name in d for d in did] for name in BEHAVIOURS},
        "answer": [int(a) for a in answers or [NONE] * n],
        "answer_time_ms": [0] * n,
    }


def flat_of(*requests: dict) -> Flat:
    return flatten(pa.Table.from_pylist(list(requests), sample_schema(SPEC)))


def test_behaviour_lists_are_the_exposed_candidates_of_a_request():
    flat = flat_of(
        request(1, ["", "like", None]),
        request(1, ["like"], kind=ANSWER_SAMPLE),
        request(2, ["", ""]),
        request(2, ["long_view", ""]),
    )
    scores = np.array([2.0, 1.0, 9.0, 1.0, 2.0, 1.0, 2.0, 1.0])
    ranked = behaviour_lists(flat, scores, ORDER)
    assert ranked.ids.tolist() == [0, 3]
    assert ranked.rows.tolist() == [2, 2]
    assert reciprocal_rank(ranked).values == pytest.approx([1 / 2, 1])
    assert long_view_lists(flat, scores).ids.tolist() == [3]


def test_ndcg_gains_one_for_a_positive_and_three_for_many():
    flat = flat_of(request(1, ["like", "hate+like", "like+follow+comment"]))
    ranked = behaviour_lists(flat, np.array([3.0, 2.0, 1.0]), ORDER)
    expected = (1 + 3 / log2(4)) / (3 + 1 / log2(3))
    assert ndcg(ranked, 5).values == pytest.approx([expected])


def test_a_disliked_candidate_is_no_hit():
    flat = flat_of(request(1, ["hate+like", "like"]))
    ranked = behaviour_lists(flat, np.array([2.0, 1.0]), ORDER)
    assert hit_rate(ranked, 1).values.tolist() == [0]


def test_long_view_gauc_is_weighted_by_rows():
    # Request of 2 rows: 1; request of 4 rows: 1 of 3 pairs in order.
    flat = flat_of(request(1, ["long_view", ""]), request(2, ["", "", "long_view", ""]))
    scores = np.array([2.0, 1.0, 4.0, 3.0, 2.0, 1.0])
    means = behaviour_sums(flat, scores, ORDER).as_dict()
    assert means["behaviour/long_view_gauc"] == pytest.approx((2 * 1 + 4 / 3) / 6)
    assert means["behaviour/mrr"] == pytest.approx((1 + 1 / 3) / 2)


def test_sums_of_workers_add_to_the_sums_of_all():
    requests = [request(1, ["long_view", ""]), request(2, ["", "like", ""]), request(3, ["", ""])]
    scores = [np.array([1.0, 2.0]), np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0])]
    parts = [behaviour_sums(flat_of(r), s, ORDER) for r, s in zip(requests, scores, strict=True)]
    whole = behaviour_sums(flat_of(*requests), np.concatenate(scores), ORDER)
    added = parts[0] + parts[1] + parts[2]
    assert added.names == whole.names
    np.testing.assert_allclose(added.table, whole.table)
    assert added.as_dict()["behaviour/hr_1"] == 0


def test_metrics_without_any_list_are_absent_but_keep_their_place():
    sums = behaviour_sums(flat_of(request(1, ["", ""])), np.ones(2), ORDER)
    assert sums.as_dict() == {}
    assert sums.names == (
        *(f"behaviour/ndcg_{k}" for k in CUTOFFS),
        *(f"behaviour/hr_{k}" for k in CUTOFFS),
        "behaviour/mrr",
        "behaviour/long_view_gauc",
    )


def test_sums_of_different_metrics_do_not_add():
    with pytest.raises(ValueError, match="same metrics"):
        Sums(("a",), np.ones((1, 2))) + Sums(("b",), np.ones((1, 2)))


def test_a_users_answers_meet_by_their_places_in_their_own_requests():
    # User 1: satisfied at the top of a request of low scores, dissatisfied at the bottom of one of
    # high scores. Raw scores would put the dissatisfied first.
    flat = flat_of(
        request(1, ["", "", ""], [SATISFIED, NONE, NONE]),
        request(1, ["", "", ""], [NONE, NONE, DISSATISFIED]),
    )
    answers = answered(flat, np.array([0.3, 0.2, 0.1, 90, 80, 70]))
    assert answers.user_id.tolist() == [1, 1]
    assert answers.percentile == pytest.approx([5 / 6, 1 / 6])
    means = satisfaction_sums(answers).as_dict()
    assert means["satisfaction/hr_1"] == 1
    assert means["satisfaction/ndcg_1"] == 1
    assert means["satisfaction/pair_accuracy"] == 1


def test_a_satisfaction_list_needs_both_sides():
    flat = flat_of(
        request(1, ["", ""], [SATISFIED, SATISFIED]),
        request(2, ["", ""], [UNCERTAIN, DISSATISFIED]),
        request(3, ["", ""], [UNCERTAIN, SATISFIED]),
        request(4, ["", "", ""], [DISSATISFIED, NONE, SATISFIED]),
    )
    answers = answered(flat, -np.arange(9.0))
    assert satisfaction_lists(answers).ids.tolist() == [3, 4]
    assert satisfaction_lists(answers).rows.tolist() == [2, 2]
    means = satisfaction_sums(answers).as_dict()
    assert means["satisfaction/mrr"] == pytest.approx(1 / 2)


def test_pair_accuracy_leaves_uncertain_answers_out_and_weighs_users_alike():
    # User 1: of 2 pairs one is in order; user 2: one of one. Pooled pairs would give 2/3.
    flat = flat_of(
        request(1, ["", "", "", ""], [DISSATISFIED, SATISFIED, UNCERTAIN, DISSATISFIED]),
        request(2, ["", ""], [SATISFIED, DISSATISFIED]),
    )
    means = satisfaction_sums(answered(flat, np.array([4.0, 3, 2, 1, 2, 1]))).as_dict()
    assert means["satisfaction/pair_accuracy"] == pytest.approx((1 / 2 + 1) / 2)


def test_a_user_whose_requests_went_to_two_workers_is_one_list():
    requests = [request(1, [""], [SATISFIED]), request(1, ["", ""], [NONE, DISSATISFIED])]
    parts = [answered(flat_of(r), -np.arange(len(r["item_id"]) * 1.0)) for r in requests]
    assert [satisfaction_sums(part).as_dict() for part in parts] == [{}, {}]
    assert satisfaction_sums(merge(parts)).as_dict()["satisfaction/mrr"] == 1


def test_scores_of_another_table_are_refused():
    with pytest.raises(ValueError, match="one score a candidate"):
        answered(flat_of(request(1, ["", ""])), np.ones(3))
