"""Planted likes: what a mix of them costs and gains is found, and equal methods are equal."""

import numpy as np
import pytest

from easq.events import BEHAVIOURS, Answer
from easq.features import Columns
from easq.peers.equal_behaviour import compare, evidence_of
from easq.peers.judge import HIDDEN_LIKE, Truth
from easq.samples import Flat
from easq.study.evidence import Evidence
from easq.study.methods import BASE, Method

USERS, LISTS, ROWS = 150, 3, 8
VALUES = (0.5, 1.0, 2.0, 8.0)
METHODS = {
    BASE: Method("EMER", {}),
    "mix": Method("a mix", {}, "gamma", VALUES),
    "again": Method("the same mix", {}, "gamma", VALUES),
    "noise": Method("noise", {}, "gamma", VALUES),
}


@pytest.fixture(scope="module")
def points() -> Evidence:
    rng = np.random.default_rng(0)
    size, lists = (USERS * LISTS, ROWS), USERS * LISTS
    attraction, liking = rng.normal(size=(2, *size))
    watched = attraction + 0.7 * rng.normal(size=size) > 0.3
    liked = liking + 0.7 * rng.normal(size=size) > 1.2
    answer = np.where(liked, Answer.SATISFIED, Answer.NONE).ravel()
    truth = Truth.of(flat(watched.ravel(), np.zeros(lists * ROWS, int)), flat(None, answer), LISTS)
    base = [attraction + 0.3 * rng.normal(size=size) for _ in range(2)]
    mixes = [[(y + g * liking).ravel() for y in base] for g in VALUES]
    noise = [[(y + g * rng.normal(size=size)).ravel() for y in base] for g in VALUES]
    scores = {BASE: [[y.ravel() for y in base]], "mix": mixes, "again": mixes, "noise": noise}
    return evidence_of(truth, scores)


def flat(watched: np.ndarray | None, answer: np.ndarray) -> Flat:
    n = len(answer)
    behaviours = {name: np.zeros(n, dtype=bool) for name in BEHAVIOURS}
    if watched is not None:
        behaviours["long_view"] = watched
    lists = n // ROWS
    lengths, of_user = np.full(lists, ROWS), np.repeat(np.arange(USERS), LISTS)
    columns = Columns({}, {"item_id": np.arange(n)}, ["main"] * lists, np.zeros(lists), lengths)
    ones, zeros = np.ones(n, dtype=bool), np.zeros(n)
    is_behaviour = np.ones(lists, dtype=bool)
    return Flat(
        columns,
        np.arange(lists),
        of_user,
        is_behaviour,
        ones,
        zeros,
        zeros,
        behaviours,
        answer,
        zeros,
    )


def test_likes_that_a_mix_knows_are_gained_for_behaviour(points):
    curve = compare(points, METHODS, "mix", ("noise",)).comparison.curves["mix"]
    costs = [place.cost.value for place in curve.places]
    assert costs == sorted(costs)
    assert curve.places[-1].gain[HIDDEN_LIKE].low > 0.1
    assert 0 < curve.gain_at[HIDDEN_LIKE][1.0].value < curve.gain_at[HIDDEN_LIKE][3.0].value


def test_what_knows_likes_is_above_noise_at_the_same_cost(points):
    found = compare(points, METHODS, "mix", ("noise",))
    assert found.above["noise"][1.0].low > 0
    assert found.comparison.curves["noise"].ahead[HIDDEN_LIKE][3.0].low > 0


def test_equal_methods_are_equal_in_every_draw(points):
    found = compare(points, METHODS, "mix", ("again",))
    leads = [*found.above["again"].values(), found.comparison.curves["again"].ahead[HIDDEN_LIKE][3]]
    assert all(lead[:3] == pytest.approx((0, 0, 0)) for lead in leads)


def test_requests_before_the_judged_ones_are_in_no_list(points):
    """The first viewer's requests are all of those that chose the settings."""
    weights = points.worlds[0][..., 1, :]
    assert not weights[..., 0].any()
    assert weights[:, :, 0, 1:].any()
