"""Reading a trade-off curve at a cost, worked out by hand."""

import numpy as np
import pytest

from easq.study.curves import cost_percent, from_base, gain, gain_at


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (0.0, 0.0),  # EMER itself
        (0.25, 0.05),  # half of the way to the first point
        (0.5, 0.10),
        (1.0, 0.15),  # a quarter of the way from (0.5, 0.10) to (2.5, 0.30)
        (2.5, 0.30),
        (3.0, np.nan),  # dearer than any value tried
    ],
)
def test_a_curve_is_straight_between_its_points(budget, expected):
    cost, gained = from_base(np.array([0.5, 2.5])), from_base(np.array([0.10, 0.30]))
    np.testing.assert_allclose(gain_at(cost, gained, budget), expected)


def test_a_curve_that_turns_back_is_read_where_it_first_costs_the_budget():
    cost, gained = np.array([0.0, 2.0, 0.5, 4.0]), np.array([0.0, 0.2, 0.3, 1.0])
    np.testing.assert_allclose(gain_at(cost, gained, 1.0), 0.1)


def test_each_draw_is_read_at_its_own_budget():
    cost = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 2.0]])
    gained = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    found = gain_at(cost, gained, np.array([0.5, 0.5, 9.0]))
    np.testing.assert_allclose(found, [0.5, 0.25, np.nan])


def test_costs_and_gains_are_against_emer_of_the_same_replicate():
    behaviour = np.array([[0.8, 0.72], [0.5, 0.49]])  # two replicates, two points
    np.testing.assert_allclose(cost_percent(behaviour, behaviour[:, 0]), [0.0, (10 + 2) / 2])
    satisfaction = np.array([[0.4, 0.5], [0.6, 0.9]])
    np.testing.assert_allclose(gain(satisfaction, satisfaction[:, 0]), [0.0, 0.2])
