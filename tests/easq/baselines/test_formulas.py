"""The two baselines without training: the blend of pathways, and the fusion of upstream scores."""

import numpy as np
import pytest
from scipy.special import expit

from easq.baselines.blend import blend
from easq.baselines.fusion import FusionConfig, fit_fusion, fusion_scores, upstream_scores
from easq.metrics import auc, rank
from easq.samples import BehaviourOrder, flatten


def test_a_blend_without_gamma_is_y_hat_and_with_a_large_one_the_order_of_s_hat():
    rng = np.random.default_rng(0)
    main, satisfaction = rng.normal(size=50), rng.normal(size=50)
    assert np.array_equal(blend(main, satisfaction, 0.0), main)
    assert np.array_equal(np.argsort(blend(main, satisfaction, 1e9)), np.argsort(satisfaction))


def test_fusion_is_the_weighted_sum_of_log_odds():
    upstream = {"like": np.array([0.5, 0.2]), "follow": np.array([0.9, 0.0])}
    got = fusion_scores(upstream, FusionConfig(weights={"like": 2.0, "follow": 0.5}))
    assert got[0] == pytest.approx(0.5 * np.log(9))
    assert np.isfinite(got).all()
    with pytest.raises(ValueError, match="no upstream score \\['comment'\\]"):
        fusion_scores(upstream, FusionConfig(weights={"comment": 1.0}))


def test_the_fit_finds_planted_weights_up_to_scale(random_samples):
    flat = flatten(random_samples(3000))
    upstream = upstream_scores(flat)
    planted = FusionConfig(weights={"like": 1.5, "long_view": -0.5})
    chance = expit(fusion_scores(upstream, planted))
    seen = flat.exposed & (np.random.default_rng(1).random(len(chance)) < chance)
    nothing = np.zeros(len(seen), bool)
    behaviours = dict.fromkeys(flat.behaviours, nothing) | {"long_view": seen}
    flat = flat._replace(behaviours=behaviours)
    found = fit_fusion(flat, BehaviourOrder())
    assert found.weights["long_view"] / found.weights["like"] == pytest.approx(-1 / 3, abs=0.06)
    shown = flat.exposed
    of_planted, of_found = (
        auc(rank(fusion_scores(upstream, c)[shown], seen[shown], flat.request[shown])).values
        for c in (planted, found)
    )
    assert of_found.mean() == pytest.approx(of_planted.mean(), abs=0.005)


def test_a_fit_needs_a_preference(random_samples):
    flat = flatten(random_samples(20))
    nobody = dict.fromkeys(flat.behaviours, np.zeros(len(flat.exposed), bool))
    with pytest.raises(ValueError, match="requests with a preference"):
        fit_fusion(flat._replace(behaviours=nobody), BehaviourOrder())
