"""Every peer finds what was planted, and knows a day only by the days before it."""

from functools import partial

import numpy as np
import pytest

from easq.metrics import auc, rank
from easq.peers.additive import Additive
from easq.peers.deepfm import DeepFm
from easq.peers.examples import Examples, prequential
from easq.peers.item_rate import ItemRate
from easq.peers.lightgbm import LightGbm

ROWS, ITEMS, DAYS = 12_000, 20, 4
EVERY = [ItemRate, Additive, LightGbm, DeepFm]


@pytest.fixture(scope="module")
def planted():
    """Of items 0..19 the higher are watched more; one number helps, the other does not."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, ITEMS, ROWS)
    numbers = rng.normal(size=(ROWS, 2)).astype(np.float32)
    odds = 0.3 * (item - ITEMS / 2) + numbers[:, 0]
    target = rng.random(ROWS) < 1 / (1 + np.exp(-odds))
    ids = np.stack([item, ITEMS + rng.integers(0, 5, ROWS)], axis=1)
    day = np.sort(rng.integers(0, DAYS, ROWS))
    return Examples(item, ids, ITEMS + 5, numbers), target, day


def quality(scores: np.ndarray, target: np.ndarray, day: np.ndarray) -> float:
    late = day == DAYS - 1
    return float(auc(rank(scores[late], target[late], day[late])).values[0])


@pytest.mark.parametrize("peer", EVERY)
def test_a_planted_effect_is_found(planted, peer):
    examples, target, day = planted
    scores = prequential(peer, examples, target, day)
    assert quality(scores, target, day) > 0.75


@pytest.mark.parametrize("peer", [Additive, LightGbm, DeepFm])
def test_all_but_the_item_rate_read_the_numbers(planted, peer):
    examples, target, day = planted
    with_numbers, rates = (prequential(p, examples, target, day) for p in (peer, ItemRate))
    assert quality(with_numbers, target, day) > quality(rates, target, day) + 0.02


@pytest.mark.parametrize("peer", EVERY)
def test_a_day_is_scored_by_the_days_before_it(planted, peer):
    examples, target, day = planted
    poisoned = np.where(day >= 2, ~target, target)
    honest, other = (prequential(peer, examples, t, day) for t in (target, poisoned))
    np.testing.assert_array_equal(honest[day <= 2], other[day <= 2])
    assert (honest[day == 3] != other[day == 3]).any()


def test_without_both_classes_in_the_past_nothing_is_ranked(planted):
    examples, target, day = planted
    scores = prequential(ItemRate, examples, target & (day > 0), day)
    assert not scores[day <= 1].any()
    assert scores[day == 2].any()


def test_an_item_that_is_new_has_the_overall_rate(planted):
    examples, target, _ = planted
    peer = ItemRate()
    peer.fit(examples, target)
    new = examples.take(np.arange(ROWS) < 1)._replace(item_id=np.array([10**6]))
    assert peer.score(new) == target.mean()


@pytest.mark.parametrize("peer", [LightGbm, DeepFm])
def test_a_seed_gives_the_same_scores_again(planted, peer):
    examples, target, day = planted
    one, again, other = (
        prequential(partial(peer, seed), examples, target, day) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
