import numpy as np
import pytest

from easq.simulate.headroom import headroom
from easq.simulate.shown import Shown, satisfaction_of

LOG3, LOG4 = np.log2(3), np.log2(4)


def test_a_hand_worked_ranking():
    z = np.array([2.0, -1.0, 1.0, 0.0, 0.5, -2.0])
    judged = satisfaction_of([Shown(z, z, np.array([1, 0, 2, 3, 4]))], satisfied_above=0.7)
    assert judged.ndcg == pytest.approx((1 / LOG3 + 1 / LOG4) / (1 + 1 / LOG3))
    assert judged.best_ndcg == 1
    assert judged.z == pytest.approx(0.5)
    assert judged.requests == 1


def test_satisfying_videos_that_were_not_shown_count_as_missed():
    z = np.array([1.0, -1, -1, -1, -1, -1, 2.0, 2.0])
    judged = satisfaction_of([Shown(z, z, np.arange(1, 6))], satisfied_above=0.7)
    assert judged.ndcg == 0


def test_requests_that_nothing_could_satisfy_leave_ndcg_open():
    z = np.full(6, -1.0)
    assert np.isnan(satisfaction_of([Shown(z, z, np.arange(5))], 0.7).ndcg)


def test_it_agrees_with_the_headroom_of_the_history(flat, truth, config):
    z = truth.column("satisfaction").to_pylist()
    expected = truth.column("expected_satisfaction").to_pylist()
    place = truth.column("policy_place").to_pylist()
    shown = [
        Shown(np.array(a), np.array(b), np.argsort(c)[:8])
        for a, b, c in zip(z, expected, place, strict=True)
    ]
    above = config.world.satisfied_above
    judged, room = satisfaction_of(shown, above), headroom(flat, truth, above, 0)
    assert judged.ndcg == pytest.approx(room["logging policy"])
    assert judged.best_ndcg == pytest.approx(room["expected z (the best a model can do)"])


def test_no_ranking_is_refused():
    with pytest.raises(ValueError, match="no ranking"):
        satisfaction_of([], 0.7)
