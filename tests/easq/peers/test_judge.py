"""One user-day by hand: hidden answers are judged, revealed ones are in no list of theirs."""

import numpy as np
import pytest

from easq.events import Answer
from easq.features import Columns
from easq.peers.judge import Truth, gain, lists_of
from easq.samples import BEHAVIOURS, Flat

SATISFIED, DISSATISFIED, NONE = Answer.SATISFIED, Answer.DISSATISFIED, Answer.NONE


def flat(answer: list[int]) -> Flat:
    n = len(answer)
    behaviours = {name: np.zeros(n, dtype=bool) for name in BEHAVIOURS}
    behaviours["long_view"][1] = True
    columns = Columns({}, {"item_id": np.arange(n)}, ["main"], np.zeros(1), np.array([n]))
    ones, zeros = np.ones(n, dtype=bool), np.zeros(n)
    return Flat(
        columns,
        np.array(["a"]),
        np.array([7]),
        np.ones(1, dtype=bool),
        ones,
        zeros,
        zeros,
        behaviours,
        np.array(answer),
        zeros,
    )


@pytest.fixture
def truth() -> Truth:
    everything = flat([SATISFIED, SATISFIED, DISSATISFIED, NONE])
    return Truth.of(flat([SATISFIED, NONE, NONE, NONE]), everything)


def test_only_what_was_not_revealed_is_hidden_truth(truth):
    assert truth.hidden.tolist() == [NONE, SATISFIED, DISSATISFIED, NONE]
    assert truth.liked.tolist() == [True, True, False, False]


def test_days_that_chose_settings_are_not_judged(truth):
    lists = lists_of(truth._replace(first=1), np.arange(4.0))
    assert not any(len(of.values) for of in lists.values())


def test_each_question_by_hand(truth):
    lists = lists_of(truth, np.array([9.0, 2.0, 1.0, 3.0]))
    values = {name: of.values.tolist() for name, of in lists.items()}
    assert values == {
        "long view": [pytest.approx(1 / 3)],
        "hidden like": [0.5],
        "hidden hate": [1.0],
        "hidden like over hidden hate": [1.0],
    }


def test_a_gain_is_a_difference_of_means_over_seeds(truth):
    good, bad = (
        lists_of(truth, np.array(s, float))["hidden like"] for s in ([0, 3, 1, 2], [0, 1, 3, 2])
    )
    assert gain([good, bad], [bad, bad], truth.flat).mean == 0.5


def test_logs_of_other_candidates_are_refused():
    with pytest.raises(ValueError, match="other candidates"):
        Truth.of(flat([NONE, NONE]), flat([NONE, NONE, NONE]))
