"""CUPED by hand, and on simulated users whose true difference is known."""

import numpy as np
import pytest

from easq.experiment.cuped import adjusted_difference
from easq.experiment.ratio_metrics import PerUser, RelativeDifference, relative_difference

DRAWS, USERS, EFFECT = 1000, 300, 0.1


def mean_of(x: list[float]) -> PerUser:
    return PerUser(np.array(x), np.ones(len(x)))


def test_an_adjusted_difference_by_hand():
    found = adjusted_difference(*map(mean_of, ([2, 4], [1, 3], [2, 4], [1, 3])))
    # Log ratio log(3 / 2). Influences -1/3, 1/3 and -1/2, 1/2. The past's mean over both groups is
    # 2.5: covariates -.2, .6 and -.6, .2. Covariances 4/15 and .4, variances .32 each, so
    # theta = (4/15 + .4) / .64 = 25/24 and theta * (.2 - -.2) = 5/12 is taken off. What is left of
    # each influence about its mean is 1/3 - 25/24 * .4 = -1/12 and 1/12: variance 1/72 in both.
    assert found.log_ratio == pytest.approx(np.log(1.5) - 5 / 12)
    assert found.error == pytest.approx(np.sqrt(1 / 72))
    assert (found.treatment, found.control) == (3, 2)


def test_a_past_that_is_the_same_for_all_changes_nothing():
    now, past = (mean_of([2, 4]), mean_of([1, 3])), (mean_of([5, 5]), mean_of([5, 5]))
    assert adjusted_difference(*now, *past) == pytest.approx(relative_difference(*now))


def test_a_metric_without_a_past_is_not_adjusted():
    now, past = (mean_of([2, 4]), mean_of([1, 3])), (mean_of([0, 0]), mean_of([0, 0]))
    assert adjusted_difference(*now, *past) == relative_difference(*now)


def test_nothing_to_divide_by_stays_undefined():
    found = adjusted_difference(*map(mean_of, ([2, 4], [0, 0], [1, 2], [1, 2])))
    assert np.isnan(found.difference)


def lived(rng: np.random.Generator, rise: float) -> tuple[PerUser, PerUser]:
    """Watched seconds and views of users before and during a test that raises seconds a view."""
    use, own = rng.lognormal(1, 0.8, USERS), rng.lognormal(2, 0.4, USERS)
    before, during = 1 + rng.poisson(use), 1 + rng.poisson(2 * use)
    watched = [views * own * rng.lognormal(0, 0.2, USERS) for views in (before, during)]
    return PerUser(watched[0], before.astype(float)), PerUser(
        rise * watched[1], during.astype(float)
    )


def differences(means: bool) -> tuple[list[RelativeDifference], list[RelativeDifference]]:
    """Of seconds a user, or of seconds a view: plain and adjusted, in many tests."""
    rng, plain, adjusted = np.random.default_rng(7), [], []
    for _ in range(DRAWS):
        treated, controls = lived(rng, 1 + EFFECT), lived(rng, 1)
        if means:
            treated, controls = (
                tuple(PerUser(of.x, np.ones(USERS)) for of in group)
                for group in (treated, controls)
            )
        plain.append(relative_difference(treated[1], controls[1]))
        adjusted.append(adjusted_difference(treated[1], controls[1], treated[0], controls[0]))
    return plain, adjusted


@pytest.mark.parametrize(("means", "narrower"), [(True, 0.65), (False, 0.72)])
def test_intervals_are_narrower_and_cover_as_often_as_they_say(means, narrower):
    plain, adjusted = differences(means)
    for found in (plain, adjusted):
        covered = np.mean([one.low <= EFFECT <= one.high for one in found])
        assert 0.93 <= covered <= 0.97
    error = [np.mean([one.error for one in found]) for found in (plain, adjusted)]
    assert error[1] < narrower * error[0]
    spread = np.std([one.log_ratio for one in adjusted])
    assert spread == pytest.approx(error[1], rel=0.1)  # what it says is what it does
    middle = np.mean([one.log_ratio for one in adjusted])
    assert middle == pytest.approx(np.log(1 + EFFECT), abs=4 * spread / np.sqrt(DRAWS))
