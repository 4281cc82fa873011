"""The hierarchical bootstrap, on data whose truth is known."""

import numpy as np
import pytest

from easq.study.intervals import draw

EFFECT = 0.3


def worlds(rng: np.random.Generator, world: float, seed: float, user: float) -> list[np.ndarray]:
    """Two points whose means differ by EFFECT and by what each world, seed and user adds to it."""
    made = []
    for _ in range(5):
        added = rng.normal(0, world) + rng.normal(0, seed, (5, 1)) + rng.normal(0, user, (1, 60))
        base = rng.normal(0, 5, (1, 60)) + np.zeros((5, 60))
        values = np.stack([base, base + EFFECT + added], axis=1)
        made.append(np.stack([values, np.ones_like(values)], axis=2)[:, :, None])
    return made


def difference(means: np.ndarray) -> np.ndarray:
    return (means[..., 1, 0] - means[..., 0, 0]).mean(-1)


@pytest.mark.parametrize(
    ("world", "seed", "user"), [(0.5, 0.1, 0.1), (0.5, 0.5, 0.5), (0.1, 0.1, 1.0)]
)
def test_intervals_hold_the_truth_at_least_as_often_as_they_say(world, seed, user):
    rng = np.random.default_rng(0)
    data = [worlds(rng, world, seed, user) for _ in range(100)]
    found = [draw(d, n=200, seed=i).interval(difference) for i, d in enumerate(data)]
    held = np.mean([interval.low <= EFFECT <= interval.high for interval in found])
    assert held >= 0.9  # 95 of 100, less two standard errors
    assert all(interval.low <= interval.value <= interval.high for interval in found)


def test_methods_are_paired_so_what_they_share_adds_no_width():
    interval = draw(worlds(np.random.default_rng(1), 0, 0, 0), n=100).interval(difference)
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
