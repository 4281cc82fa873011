"""The hierarchical bootstrap, on data whose truth is known."""

import numpy as np
import pytest

from easq.study.intervals import draw

EFFECT = 0.3


def worlds(rng: np.random.Generator, spread: float) -> list[np.ndarray]:
    """Two points whose means differ by EFFECT; worlds, seeds and users add to the difference."""
    made = []
    for _ in range(8):
        users = rng.normal(0, 1, (1, 60)) + rng.normal(0, 1, (4, 60)) * spread
        seed = rng.normal(0, spread, (4, 1))
        world = rng.normal(0, spread)
        base = rng.normal(0, 5, 60) + np.zeros((4, 60))
        values = np.stack([base, base + EFFECT + users * spread + seed + world], axis=1)
        made.append(np.stack([values, np.ones_like(values)], axis=2)[:, :, None])
    return made


def difference(means: np.ndarray) -> np.ndarray:
    return (means[..., 1, 0] - means[..., 0, 0]).mean(-1)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = [draw(worlds(rng, 0.5), n=200, seed=i).interval(difference) for i in range(150)]
    held = np.mean([interval.low <= EFFECT <= interval.high for interval in found])
    assert 0.86 <= held <= 0.99


def test_methods_are_paired_so_what_they_share_adds_no_width():
    interval = draw(worlds(np.random.default_rng(1), 0.0), n=100).interval(difference)
    np.testing.assert_allclose(interval[:3], EFFECT, atol=1e-9)


def test_a_mean_is_a_ratio_of_resampled_sums():
    """User 1 has all of the weight but in the draws without it, which have no mean."""
    sums, weights = np.array([0.0, 6.0]), np.array([0.0, 2.0])
    [world] = [np.stack([sums, weights])[None, None, None]]
    interval = draw([world], n=400).interval(lambda means: means[..., 0, 0].mean(-1))
    assert interval[:3] == (3.0, 3.0, 3.0)
    assert interval.defined == pytest.approx(0.75, abs=0.1)


def test_worlds_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="the same seeds"):
        draw([np.ones((2, 1, 1, 2, 5)), np.ones((3, 1, 1, 2, 5))])
