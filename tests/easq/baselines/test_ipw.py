"""Inverse propensities undo who answers; the naive mean does not."""

import numpy as np
import pytest
import torch

from easq.baselines.ipw import Views, fit_propensity, fit_satisfaction, inverse_propensities


def views(count: int, seed: int) -> tuple[Views, torch.Tensor, torch.Tensor]:
    """Views whose viewers answer the more often the more satisfied; the propensity, the truth."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 2, generator=generator)
    satisfied = (torch.rand(count, generator=generator) < torch.sigmoid(2 * x[:, 0])).float()
    propensity = torch.sigmoid(1.5 * x[:, 0] + 0.5 * x[:, 1] - 2)
    decided = (torch.rand(count, generator=generator) < propensity).float()
    return Views(x, decided, satisfied * decided), propensity, satisfied


def mean_and_margin(satisfied: torch.Tensor, weight: torch.Tensor) -> tuple[float, float]:
    """The self-normalised mean and the half-width of its 99.9 % interval."""
    mean = (weight * satisfied).sum() / weight.sum()
    spread = (weight * (satisfied - mean)).pow(2).sum().sqrt() / weight.sum()
    return mean.item(), 3.3 * spread.item()


@pytest.mark.parametrize("seed", range(3))
def test_the_known_propensity_gives_the_mean_over_all_views_and_none_a_biased_one(seed):
    seen, propensity, truth = views(40_000, seed)
    answered = seen.decided > 0
    satisfied, chance = seen.satisfied[answered], propensity[answered]
    weight = inverse_propensities(chance, propensity.mean().item(), clip=0.01)
    mean, margin = mean_and_margin(satisfied, weight)
    assert abs(mean - truth.mean().item()) < margin
    naive, margin = mean_and_margin(satisfied, torch.ones_like(satisfied))
    assert naive - truth.mean().item() > 3 * margin


def test_weights_have_mean_1_and_are_clipped_against_the_mean_propensity():
    weight = inverse_propensities(torch.tensor([1e-9, 1e-4, 2e-4]), 1e-4, clip=0.05)
    assert weight.mean().item() == pytest.approx(1)
    np.testing.assert_allclose(weight / weight[1], [20, 1, 0.5], rtol=1e-6)


def test_a_fitted_propensity_is_close_to_the_known_one_and_the_model_below_the_naive_one():
    torch.manual_seed(0)
    seen, propensity, truth = views(20_000, seed=1)
    propensity_model = fit_propensity(seen, epochs=8)
    with torch.no_grad():
        fitted = torch.sigmoid(propensity_model(seen.x).squeeze(1))
    assert (fitted - propensity).abs().mean().item() < 0.03
    answered = Views(*(values[seen.decided > 0] for values in seen))
    model = fit_satisfaction(answered, seen, propensity_model, clip=0.05, epochs=8)
    with torch.no_grad():
        imputed = torch.sigmoid(model(seen.x).squeeze(1)).mean().item()
    assert imputed == pytest.approx(truth.mean().item(), abs=0.05)
    assert answered.satisfied.mean().item() > truth.mean().item() + 0.15
