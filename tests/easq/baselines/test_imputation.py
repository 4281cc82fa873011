"""How imputed satisfaction weighs behaviour pairs, by hand."""

import math

import pytest
import torch

from easq.baselines.imputation import shaping

S = torch.tensor([0.0, math.log(3), -math.log(3)])  # .5, .75 and .25 imputed
PREFERRED, OTHER = torch.tensor([1, 2, 0, 0]), torch.tensor([2, 1, 1, 0])


@pytest.mark.parametrize(
    ("kappa", "weights"),
    [
        (0.0, [1, 1, 1, 1]),
        (1.0, [1.5, 0.5, 0.75, 1]),  # who is preferred and more satisfying counts more
        (2.0, [2, 0.1, 0.5, 1]),  # 1 - 2 (.5) = 0, but no pair counts less than a tenth
        (40.0, [10, 0.1, 0.1, 1]),  # 1 + 40 (.5) = 21, but none counts more than ten times
    ],
)
def test_a_pair_counts_more_the_more_satisfying_its_preferred_item(kappa, weights):
    assert shaping(S, PREFERRED, OTHER, kappa).tolist() == pytest.approx(weights)
