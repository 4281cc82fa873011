import numpy as np
import pytest

from easq.bootstrap import paired_bootstrap

USERS = np.arange(400)


def two_models(gain: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    b = rng.random(400)
    return b + gain + 0.2 * rng.standard_normal(400), b


def test_equal_models_differ_by_nothing():
    a, _ = two_models(0)
    assert paired_bootstrap(a, a, USERS) == (0, 0, 0)


@pytest.mark.parametrize("n", [2000, 20_000], ids=["one block", "two blocks"])
def test_the_interval_is_the_normal_one_for_a_mean_of_many_users(n):
    a, b = two_models(0.1)
    mean, low, high = paired_bootstrap(a, b, USERS, n)
    half_width = 1.96 * (a - b).std() / np.sqrt(400)
    assert mean == pytest.approx((a - b).mean())
    assert (low, high) == pytest.approx((mean - half_width, mean + half_width), abs=2e-3)


def test_the_interval_covers_the_known_difference_in_19_of_20_samples():
    intervals = [
        paired_bootstrap(*two_models(0.1, seed), USERS, n=500, seed=seed) for seed in range(200)
    ]
    covered = sum(x.low <= 0.1 <= x.high for x in intervals)
    assert 180 <= covered <= 198


def test_lists_of_one_user_are_drawn_together():
    # Each user's list given ten times says nothing new: the interval must not shrink.
    a, b = two_models(0.1)
    once = paired_bootstrap(a, b, USERS)
    copies = paired_bootstrap(np.repeat(a, 10), np.repeat(b, 10), np.repeat(USERS, 10))
    assert copies == pytest.approx(once)


def test_weights_make_a_ratio_of_sums():
    # (3 * 1 + 1 * 0.5) / 4 - 0.5, and without weights 0.75 - 0.5.
    a, b, users = np.array([1.0, 0.5]), np.array([0.5, 0.5]), np.array([1, 2])
    weighted = paired_bootstrap(a, b, users, weight=np.array([3, 1]))
    assert weighted == pytest.approx((0.375, 0, 0.5))
    assert paired_bootstrap(a, b, users).mean == pytest.approx(0.25)


def test_relative_differences_are_shares_of_the_baseline():
    a, b = two_models(0.1)
    assert paired_bootstrap(1.03 * b, b, USERS, relative=True) == pytest.approx((0.03, 0.03, 0.03))
    assert paired_bootstrap(a, b, USERS, relative=True).mean == pytest.approx(
        a.mean() / b.mean() - 1
    )


def test_training_seeds_are_averaged_list_by_list():
    a, b = two_models(0.1)
    seeds = np.stack([a + 0.3, a - 0.3])
    assert paired_bootstrap(seeds, np.stack([b, b]), USERS) == pytest.approx(
        paired_bootstrap(a, b, USERS)
    )


def test_a_seed_makes_the_interval_repeatable():
    a, b = two_models(0.1)
    assert paired_bootstrap(a, b, USERS, seed=3) == paired_bootstrap(a, b, USERS, seed=3)
    assert paired_bootstrap(a, b, USERS, seed=3) != paired_bootstrap(a, b, USERS, seed=4)


@pytest.mark.parametrize(
    ("a", "b", "unit"),
    [
        (np.ones(3), np.ones(2), np.arange(3)),
        (np.ones(3), np.ones(3), np.arange(2)),
        (np.ones((2, 3)), np.ones(3), np.arange(3)),
        (np.ones(0), np.ones(0), np.arange(0)),
    ],
)
def test_values_of_different_lists_are_refused(a, b, unit):
    with pytest.raises(ValueError, match="values of the same lists"):
        paired_bootstrap(a, b, unit)


def test_undefined_values_are_refused():
    with pytest.raises(ValueError, match="leave out undefined lists"):
        paired_bootstrap(np.array([np.nan]), np.ones(1), np.arange(1))


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ValueError, match="not 0"):
        paired_bootstrap(np.ones(2), np.zeros(2), np.arange(2), relative=True)
