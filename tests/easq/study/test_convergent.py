"""Behaviour on answered views against the same viewers' average, worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from easq.events import BEHAVIOURS, Answer
from easq.samples import EVERY_SAMPLE
from easq.study.convergent import Counts, added, convergent
from easq.study.convergent import counts as counted

ANSWERS = (Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED, Answer.NONE)
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


def request(user: int, exposed: str, liked: str, answered: str) -> dict:
    """A candidate a letter: x where it was exposed or liked; s, u, d or . for its answer."""
    n, said = len(exposed), dict(zip("sud.", ANSWERS, strict=True))
    nothing = {f"behaviour.{name}": [False] * n for name in BEHAVIOURS}
    return {
        "request_id": f"r{user}",
        "user_id": user,
        "scenario": "main",
        "request_time_ms": 0,
        "kind": "behaviour",
        "item_id": list(range(n)),
        "exposed": [letter == "x" for letter in exposed],
        "watched_seconds": [0.0] * n,
        "duration_seconds": [10.0] * n,
        **nothing,
        "behaviour.like": [letter == "x" for letter in liked],
        "answer": [said[letter] for letter in answered],
        "answer_time_ms": [0] * n,
    }


def test_views_are_counted_by_user_behaviour_and_answer():
    rows = [
        request(7, "xxx.", "x..x", "s.ds"),  # what was not exposed is no view
        request(3, "xx", "xx", ".u"),
        request(7, "xx", ".x", "ss"),
    ]
    found = counted(pa.Table.from_pylist(rows, EVERY_SAMPLE))
    assert found.users.tolist() == [3, 7]
    assert found.views.tolist() == [2, 5]
    assert found.did[LIKE].tolist() == [2, 2]
    assert found.answered.tolist() == [[0, 3], [1, 0], [0, 1]]
    assert found.did_answered[:, LIKE].tolist() == [[0, 2], [1, 0], [0, 0]]
    assert not found.did[HATE].any()


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
