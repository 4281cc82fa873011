"""What a ranking is worth to each user, worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from easq.events import BEHAVIOURS, Answer
from easq.samples import EVERY_SAMPLE, flatten
from easq.study.judge import Requests, judge
from easq.study.user_sums import ALL, METRICS, PARTS

S, U, D, NONE = Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED, Answer.NONE


def request(number: int, user: int, scenario: str, answers: list[Answer], long: list[int]) -> dict:
    n = len(answers)
    row = {
        "request_id": f"r{number}",
        "user_id": user,
        "scenario": scenario,
        "request_time_ms": number,
        "kind": "behaviour",
        "item_id": list(range(n)),
        "exposed": [True] * n,
        "watched_seconds": [9.0] * n,
        "duration_seconds": [20.0] * n,
        "answer": answers,
        "answer_time_ms": [0] * n,
    }
    behaviours = {f"behaviour.{name}": [False] * n for name in BEHAVIOURS}
    return row | behaviours | {"behaviour.long_view": [bool(x) for x in long]}


@pytest.fixture
def requests() -> Requests:
    """Two viewers of the test days; the first has another request on a validation day."""
    rows = [
        request(0, 7, "main", [NONE, NONE], [0, 1]),
        request(1, 7, "main", [S, NONE, D], [1, 0, 0]),
        request(2, 7, "explore", [D, NONE], [0, 0]),
        request(3, 9, "explore", [S, NONE], [0, 1]),
    ]
    flat = flatten(pa.Table.from_pylist(rows, schema=EVERY_SAMPLE))
    z = np.array([0, 1, 1.0, -1.0, 0.0, 2.0, 0.5, -0.5, 0.2])
    part = np.array([PARTS.index(p) for p in ("validation", "test", "test", "test")])
    would = np.array([0, 1, 1.0, 0, 3, 0, 1, 1, 0])
    return Requests(flat, part, np.array([1, 1, 2, 2]), (ALL, "main", "explore"), z, z, would)


SCORES = np.array([2.0, 1.0, 3.0, 2.0, 1.0, 1.0, 2.0, 5.0, 5.0])


def test_each_user_gets_the_sums_of_its_own_lists(requests):
    sums = judge(requests, {"served": SCORES}, satisfied_above=0.7, shown=2)
    assert sums.users.tolist() == [7, 9]

    def of(metric: str, part: str, scenario: str) -> list[list[float]]:
        return sums.select("served", part, scenario)[METRICS.index(metric)].tolist()

    second = 1 / np.log2(3)
    # Validation: the long view came second of two.
    assert of("behaviour_ndcg_5", "validation", ALL) == pytest.approx(
        np.array([[second, 0], [1, 0]])
    )
    # Test: first of three; explore has no long view of user 7; user 9's ties, in expectation.
    assert of("behaviour_ndcg_5", "test", ALL) == pytest.approx(
        np.array([[1, (1 + second) / 2], [1, 1]])
    )
    # GAUC is weighted by rows: 1 in a list of three, one half in a list of two.
    assert of("long_view_gauc", "test", ALL) == pytest.approx(np.array([[3, 1], [3, 2]]))
    # Truth: z 1 of three is first; z 2 of two is second; none of user 9's satisfies.
    assert of("truth_ndcg_5", "test", ALL) == pytest.approx(np.array([[1 + second, 0], [2, 0]]))
    # Shown are two: z 1 and -1; 2 and .5; -.5 and .2.
    assert of("truth_top_z", "test", ALL) == pytest.approx(np.array([[1.25, -0.15], [2, 1]]))
    assert of("truth_top_z", "test", "main") == pytest.approx(np.array([[0, 0], [1, 0]]))


def test_behaviour_of_candidates_that_nobody_was_shown_counts_where_it_is_known(requests):
    exposed = np.array([True, True, True, False, False, True, True, True, True])
    hidden = requests._replace(flat=requests.flat._replace(exposed=exposed))
    sums = judge(hidden, {"served": SCORES}, satisfied_above=0.7, shown=2)

    def of(metric: str) -> list[list[float]]:
        return sums.select("served", "test", ALL)[METRICS.index(metric)].tolist()

    second = 1 / np.log2(3)
    # Gains 1, 0 and 3 in this order where 3, 1 and 0 were best; 1 before 0; a tie of 1 and 0.
    ndcg = (1 + 3 / np.log2(4)) / (3 + second)
    expected = np.array([[ndcg + 1, (1 + second) / 2], [2, 1]])
    assert of("true_behaviour_ndcg_5") == pytest.approx(expected)
    # Shown are two: gains 1 and 0 in each request; only the second of the first was never shown.
    assert of("true_behaviour_top") == pytest.approx(np.array([[1, 0.5], [2, 1]]))
    assert of("top_unseen") == pytest.approx(np.array([[0.5, 0], [2, 1]]))
    # The log's behaviour knows nothing of them: one candidate is left, and it was watched.
    assert of("behaviour_ndcg_5")[0][0] == pytest.approx(1)


def test_answers_of_a_user_make_one_list_over_requests_by_percentile(requests):
    sums = judge(requests, {"served": SCORES}, satisfied_above=0.7, shown=2)

    def of(metric: str, scenario: str) -> list[list[float]]:
        return sums.select("served", "test", scenario)[METRICS.index(metric)].tolist()

    # User 7: S at 5/6 of its request, D at 1/6, D of the other at 1/4. User 9 has no other answer.
    assert of("answers_hr_1", ALL) == [[1, 0], [1, 0]]
    assert of("answers_mrr", "main") == [[1, 0], [1, 0]]
    assert of("answers_ndcg_5", "explore") == [[0, 0], [0, 0]]
