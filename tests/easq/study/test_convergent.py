"""Behaviour on answered views against the same viewers' average, worked out by hand."""

import numpy as np
import pytest

from easq.events import BEHAVIOURS
from easq.study.convergent import Counts, added, convergent

LIKE, HATE = BEHAVIOURS.index("like"), BEHAVIOURS.index("hate")


def counts(users: list[int], views: list[int], likes: list[int], satisfied: list[int]) -> Counts:
    """All likes lie on the satisfied views."""
    did = np.zeros((len(BEHAVIOURS), len(users)), dtype=int)
    did[LIKE] = likes
    answered = np.zeros((3, len(users)), dtype=int)
    answered[0] = satisfied
    on_answered = np.zeros((3, len(BEHAVIOURS), len(users)), dtype=int)
    on_answered[0, LIKE] = likes
    return Counts(np.array(users), np.array(views), did, answered, on_answered)


def test_days_add_by_user():
    both = added(
        [counts([1, 5], [10, 10], [2, 0], [4, 2]), counts([5, 8], [10, 4], [1, 1], [2, 1])]
    )
    assert both.users.tolist() == [1, 5, 8]
    assert both.views.tolist() == [10, 20, 4]
    assert both.did[LIKE].tolist() == [2, 1, 1]
    assert both.answered[0].tolist() == [4, 4, 1]


def test_a_shift_is_what_happened_over_what_those_viewers_average():
    # User 1 likes 2 of 10 views: .8 likes are expected on 4, 2 are seen. User 5: 1 of 20, .2, 1.
    found = convergent([counts([1, 5], [10, 20], [2, 1], [4, 4])])
    assert set(found) == {"satisfied"}
    assert found["satisfied"].answers == 8
    assert found["satisfied"].change["like"].value == pytest.approx(100 * (3 / 1.0 - 1))
    assert np.isnan(found["satisfied"].change["hate"].value)
    assert found["satisfied"].always == ()


def test_an_answer_that_is_made_of_a_behaviour_is_told():
    found = convergent([counts([1, 5], [10, 20], [4, 4], [4, 4])])
    assert found["satisfied"].always == ("like",)
