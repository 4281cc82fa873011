"""Differences of several worlds together, by hand and on worlds whose spread is known."""

import numpy as np
import pytest

from easq.experiment.ratio_metrics import RelativeDifference, of_log
from easq.experiment.several_worlds import Combined, combine

from .test_ratio_metrics import per_user

ONE = per_user([1, 1], [1, 1])
T_1 = 12.706205  # t of 1 degree of freedom at 97.5 %


def told(log_ratio: float, error: float) -> RelativeDifference:
    return of_log(ONE, ONE, log_ratio, error)


def test_two_worlds_by_hand():
    found = combine([told(0.0, 0.1), told(0.2, 0.1)])
    # Weights 100: mean .1, Q = 2 * 100 * .01 = 2, so the variance between worlds is
    # (2 - 1) / (200 - 20,000 / 200) = .01. Weights 50: scatter 2 * 50 * .01 = 1, error .1.
    assert found.spread == pytest.approx(0.1)
    assert np.log1p([found.difference, found.low, found.high]) == pytest.approx(
        [0.1, 0.1 - 0.1 * T_1, 0.1 + 0.1 * T_1]
    )
    assert found.worlds == 2


def test_worlds_that_agree_are_no_surer_than_their_users_say():
    found = combine([told(0.1, 0.1), told(0.1, 0.1)])
    assert found.spread == 0
    assert np.log1p(found.high) == pytest.approx(0.1 + T_1 * 0.1 / np.sqrt(2))


def test_a_world_without_the_difference_is_left_out():
    undefined = RelativeDifference(1, 0, *[float("nan")] * 3)
    assert combine([told(0.0, 0.1), undefined, told(0.2, 0.1)]).worlds == 2
    one = combine([told(0.0, 0.1), undefined])
    assert np.isnan([one.difference, one.low, one.high, one.spread]).all()
    assert not one.is_significant


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2])
def test_intervals_cover_the_mean_of_all_worlds(spread):
    rng = np.random.default_rng(2)

    def once() -> Combined:
        errors = rng.uniform(0.03, 0.08, 5)
        values = 0.1 + rng.normal(0, spread, 5) + rng.normal(0, errors)
        return combine([told(v, e) for v, e in zip(values, errors, strict=True)])

    found = [once() for _ in range(1000)]
    assert np.mean([one.low <= np.expm1(0.1) <= one.high for one in found]) >= 0.93
