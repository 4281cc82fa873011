"""Relative differences by hand, and whether their intervals hold what they promise."""

import numpy as np
import pytest

from easq.experiment.ratio_metrics import PerUser, bootstrap_difference, relative_difference
from easq.experiment.sample_ratio import sample_ratio

DRAWS, USERS = 1000, 300


def per_user(x: list[float], y: list[float]) -> PerUser:
    return PerUser(np.array(x), np.array(y))


def test_a_difference_and_its_interval_by_hand():
    treatment, control = per_user([2, 4], [1, 2]), per_user([1, 3], [2, 2])
    found = relative_difference(treatment, control)
    # Ratios 6/3 = 2 and 4/4 = 1. Influences: treatment 2/3 - 1/1.5 = 0 twice, so no variance;
    # control 1/2 - 1, 3/2 - 1 = -.5, .5: variance .5, of their mean .25; margin 1.96 * .5 = .98.
    assert found.difference == pytest.approx(1.0)
    assert found.low == pytest.approx(2 * np.exp(-1.959964 * 0.5) - 1)
    assert found.high == pytest.approx(2 * np.exp(1.959964 * 0.5) - 1)
    assert not found.is_significant
    assert found.error == pytest.approx(0.5)
    assert found.detectable == pytest.approx(np.exp((1.959964 + 0.841621) * 0.5) - 1)


def test_nothing_to_divide_by_is_undefined_and_not_significant():
    found = relative_difference(per_user([1, 2], [1, 1]), per_user([0, 0], [1, 1]))
    assert np.isnan([found.difference, found.low, found.high]).all()
    assert not found.is_significant


def test_a_group_of_one_user_is_refused():
    with pytest.raises(ValueError, match="at least two users"):
        relative_difference(per_user([1], [1]), per_user([1, 2], [1, 1]))


def heavy_users(rng: np.random.Generator, rate: float) -> PerUser:
    """[DRAWS, USERS]: log-normal use; views of a user share the user's own rate."""
    views = 1 + rng.poisson(rng.lognormal(1.0, 0.8, (DRAWS, USERS)))
    own = rng.beta(20 * rate, 20 * (1 - rate), views.shape)
    return PerUser(rng.binomial(views, own).astype(float), views.astype(float))


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    treatment, control = heavy_users(rng, 0.33), heavy_users(rng, 0.30)
    found = [
        relative_difference(PerUser(t_x, t_y), PerUser(c_x, c_y))
        for t_x, t_y, c_x, c_y in zip(*treatment, *control, strict=True)
    ]
    covered = np.mean([one.low <= 0.1 <= one.high for one in found])
    assert 0.93 <= covered <= 0.97


def test_intervals_that_take_views_for_independent_would_not():
    """The test above can fail: the same data, clustered by view."""
    rng = np.random.default_rng(3)
    treatment, control = heavy_users(rng, 0.33), heavy_users(rng, 0.30)
    sums = [(group.x.sum(1), group.y.sum(1)) for group in (treatment, control)]
    (t, n_t), (c, n_c) = sums
    log_ratio = np.log((t / n_t) / (c / n_c))
    error = np.sqrt((1 - t / n_t) / t + (1 - c / n_c) / c)
    covered = (np.abs(log_ratio - np.log(1.1)) <= 1.96 * error).mean()
    assert covered < 0.93


def test_the_bootstrap_agrees():
    rng = np.random.default_rng(5)
    treatment, control = (
        PerUser(group.x[0], group.y[0]) for group in (heavy_users(rng, r) for r in (0.35, 0.3))
    )
    delta, drawn = (f(treatment, control) for f in (relative_difference, bootstrap_difference))
    width = delta.high - delta.low
    assert drawn.difference == pytest.approx(delta.difference)
    assert drawn.low == pytest.approx(delta.low, abs=0.1 * width)
    assert drawn.high == pytest.approx(delta.high, abs=0.1 * width)


def test_a_sample_ratio_by_hand():
    found = sample_ratio([90, 110], [0.051, 0.051])
    assert found.expected == (100, 100)
    assert found.p_value == pytest.approx(0.157299, abs=1e-6)  # chi-square 2 at 1 degree
    assert not found.is_mismatch


def test_lost_users_are_found():
    assert sample_ratio([10_000, 9_500], [0.5, 0.5]).is_mismatch
    assert not sample_ratio([10_000, 9_900], [0.5, 0.5]).is_mismatch
    assert not sample_ratio([2_000, 18_000], [0.1, 0.9]).is_mismatch
