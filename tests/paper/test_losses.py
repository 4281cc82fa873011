"""Eqs. 11, 15 and 16 by hand."""

import math

import pytest
import torch

from easq.losses import log_policy, online_dpo, pairwise_logistic

ONE = torch.ones(1, dtype=torch.float64)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_pairwise_logistic_is_minus_log_sigmoid_of_the_margin():
    # -log sigmoid(1) = 0.3132616875; -log sigmoid(0) = log 2 = 0.6931471806, half weight
    loss = pairwise_logistic(t(2.0, 0.0), t(1.0, 0.0), t(1.0, 0.5))
    assert loss.item() == pytest.approx(0.3132616875 + 0.5 * 0.6931471806, abs=1e-9)


def test_dpo_by_hand():
    # beta = 0.5, margins 3 and 1: -log sigmoid(0.5 * (3 - 1)) = -log sigmoid(1)
    assert online_dpo(t(3.0), t(1.0), ONE, beta=0.5).item() == pytest.approx(0.3132616875, abs=1e-9)


def test_dpo_with_itself_as_reference_is_log_2_and_pushes_by_half_beta():
    margin = t(4.0).requires_grad_()
    loss = online_dpo(margin, margin.detach(), ONE, beta=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), abs=1e-12)
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(-0.05, abs=1e-12)


def test_dpo_never_reaches_its_reference():
    policy, reference = t(1.0).requires_grad_(), t(2.0).requires_grad_()
    online_dpo(policy, reference, ONE, beta=0.1).backward()
    assert reference.grad is None


def test_a_reference_that_agrees_pushes_harder_and_one_that_disagrees_less():
    def push(reference: float) -> float:
        policy = t(0.0).requires_grad_()
        online_dpo(policy, t(reference), ONE, beta=0.1).backward()
        assert policy.grad is not None
        return -policy.grad.item()

    # beta * sigmoid(beta * reference): .0525 at 1, .05 at 0 (method, "size of the effect")
    assert push(1.0) == pytest.approx(0.0525, abs=5e-5)
    assert push(0.0) == pytest.approx(0.05, abs=1e-12)
    assert push(-1.0) < push(0.0) < push(1.0)


def test_label_smoothing_of_one_half_pulls_the_margin_to_the_reference():
    policy = t(3.0).requires_grad_()
    online_dpo(policy, t(3.0), ONE, beta=1.0, label_smoothing=0.499999).backward()
    assert policy.grad is not None
    assert abs(policy.grad.item()) < 1e-5


def test_the_softmax_normaliser_cancels_inside_a_pair():
    scores = t(0.3, -1.2, 2.0, 0.7)
    whole = torch.log_softmax(scores, dim=0)
    direct = log_policy(scores, "logit")
    assert (whole[2] - whole[1]).item() == pytest.approx((direct[2] - direct[1]).item(), abs=1e-12)


def test_the_log_of_a_positive_score_is_eq_16_to_the_letter():
    policy = log_policy(t(0.1, 0.01), "log")
    assert (policy[0] - policy[1]).item() == pytest.approx(math.log(10), abs=1e-3)


@pytest.mark.parametrize("space", ["logit", "softplus", "logsigmoid"])
def test_a_policy_is_finite_and_rises_with_the_score(space):
    scores = t(-10.0, -1.0, 0.0, 1.0, 10.0).requires_grad_()
    values = log_policy(scores, space)
    assert bool(torch.isfinite(values).all())
    assert bool((values.diff() > 0).all())


def test_losses_stay_finite_at_huge_margins():
    for margin in (1e4, -1e4):
        assert math.isfinite(pairwise_logistic(t(margin), t(0.0), ONE).item())
        assert math.isfinite(online_dpo(t(margin), t(0.0), ONE, beta=1.0).item())
