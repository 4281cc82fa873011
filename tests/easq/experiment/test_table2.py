"""Table 2 by hand, and the A/A test on users who differ in nothing but chance."""

import numpy as np
import pytest

from easq.experiment.assignment import Arm, Experiment
from easq.experiment.false_positives import false_positives, together
from easq.experiment.table2 import METRICS, UserSums, compare

EXPERIMENT = Experiment(
    name="e", salt="s", arms=(Arm(name="control", share=0.5), Arm(name="treatment", share=0.5))
)
USERS = np.arange(4_000)


def chance(users: int, seed: int = 0) -> UserSums:
    """Users who come, watch, press and answer with rates of their own."""
    rng = np.random.default_rng(seed)
    days = rng.binomial(7, rng.beta(3, 2, users))
    views = rng.poisson(days * rng.lognormal(3, 0.7, users))
    watched = views * rng.lognormal(2, 0.3, users)
    pressed = [rng.binomial(views, rng.beta(2, 30, users)) for _ in range(4)]
    questions = rng.binomial(views, 0.3)
    answers = rng.binomial(questions, 0.5)
    satisfied = rng.binomial(answers, rng.beta(6, 4, users))
    sums = (days, watched + views, watched, views, *pressed, questions, answers, satisfied)
    return UserSums(*(np.asarray(c, float) for c in (*sums, answers - satisfied)))


def test_means_per_user_count_those_who_never_came():
    sums = UserSums.nothing(4)._replace(
        active_days=np.array([7.0, 0, 4, 4]), views=np.array([30.0, 0, 10, 10])
    )
    found = compare(sums, np.array([1, 1, 0, 0]), EXPERIMENT, "treatment", "control").differences
    assert (found["LT7"].treatment, found["LT7"].control) == (3.5, 4.0)
    assert found["LT7"].difference == pytest.approx(-0.125)
    assert found["VideoView"].difference == pytest.approx(0.5)
    assert np.isnan(found["Like"].difference)


def test_q_rate_is_satisfied_over_dissatisfied_as_in_the_paper():
    def arm(satisfied: float, dissatisfied: float) -> list[list[float]]:
        rest = 20_000 - satisfied - dissatisfied
        return [[satisfied, 0], [dissatisfied, 0], [satisfied + dissatisfied + rest, 0]]

    columns = zip(arm(10_000, 5_000), arm(10_092.9, 4_967.4), strict=True)
    satisfied, dissatisfied, answers = (np.array(c + t) for c, t in columns)
    sums = UserSums.nothing(4)._replace(
        satisfied=satisfied, dissatisfied=dissatisfied, answers=answers, views=answers + 1
    )
    found = compare(sums, np.array([0, 0, 1, 1]), EXPERIMENT, "treatment", "control").differences
    assert found["Q-Satisfied"].difference == pytest.approx(0.00929)
    assert found["Q-Dissatisfied"].difference == pytest.approx(-0.00652)
    assert found["Q-rate"].difference == pytest.approx(1.00929 / 0.99348 - 1)
    assert found["Q-rate"].difference == pytest.approx(0.0160, abs=2e-4)  # Table 2: +1.601 %


def test_a_planted_loss_of_users_is_a_mismatch():
    users = np.arange(40_000)
    arm, sums = EXPERIMENT.arms_of(users), chance(40_000)
    kept = (arm == 0) | (users % 10 > 0)  # a tenth of the treatment is never logged
    whole = compare(sums, arm, EXPERIMENT, "treatment", "control")
    found = compare(sums.of(kept), arm[kept], EXPERIMENT, "treatment", "control")
    assert not whole.users.is_mismatch
    assert found.users.is_mismatch
    assert sum(found.users.seen) == kept.sum()


def test_users_of_one_arm_who_were_never_served_are_a_mismatch():
    users = np.arange(40_000)
    arm, sums = EXPERIMENT.arms_of(users), chance(40_000)
    lost = (arm == 1) & (users % 10 == 0)  # they ask, and get no ranking
    found = compare(
        sums._replace(views=np.where(lost, 0, sums.views)), arm, EXPERIMENT, "treatment", "control"
    )
    assert not found.users.is_mismatch
    assert found.served.is_mismatch
    assert found.served.seen[0] < found.users.seen[0]


def test_an_a_a_test_over_20_salts_comes_out_empty():
    found = false_positives(chance(4_000), USERS, EXPERIMENT, salts=20)
    assert found.bound == 5  # P(more than 5 of 20 at 5 %) = .0003
    assert found.mismatches_bound == 1  # P(more than 1 of 20 at .2 %) = .0007
    assert set(found.by_metric) == {metric.name for metric in METRICS}
    assert found.is_empty, found


def test_an_a_a_test_by_cuped_comes_out_empty_too():
    found = false_positives(chance(4_000), USERS, EXPERIMENT, salts=20, before=chance(4_000, 1))
    assert set(found.adjusted) == {metric.name for metric in METRICS}
    assert found.is_empty, found


def test_a_a_tests_of_several_runs_are_counted_together():
    found = [false_positives(chance(1_000, n), USERS[:1_000], EXPERIMENT, 5) for n in (0, 1)]
    both = together(found)
    assert both.salts == 10
    assert both.by_metric["Like"] == sum(one.by_metric["Like"] for one in found)
    assert both.bound == 4  # P(more than 4 of 10 at 5 %) = .00006, more than 3: .001


def test_a_test_that_takes_views_for_users_is_not_empty():
    """What clustering is for: ten rows of each user as if they were ten users."""
    one = chance(400)
    copies = UserSums(*(np.repeat(column, 10) for column in one))
    found = false_positives(copies, np.repeat(USERS[:400], 10), EXPERIMENT, salts=20)
    assert not found.is_empty


def test_an_arm_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="has no arm 'b'"):
        compare(chance(10), np.zeros(10, int), EXPERIMENT, "b", "control")
