"""Laws of the ranker: it starts as EMER, it is a function of a set, padding is invisible."""

import numpy as np
import pytest
import torch

from easq.baselines.emer import EmerRanker
from easq.encoding import Slots
from easq.model.config import LoraConfig, ModelConfig, MoeConfig
from easq.model.moe import ReluMoe
from easq.model.ranker import EasqRanker

SITES = ["bypass", "input_proj", "qkv"]


def ranker(site: str = "bypass", trained: bool = False) -> EasqRanker:
    torch.manual_seed(1)
    model = EasqRanker(10, ModelConfig(width=16, lora=LoraConfig(site=site)))  # type: ignore[arg-type]
    if trained:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return model.double()


@pytest.mark.parametrize("site", SITES)
def test_easq_with_b_zero_scores_as_emer_bit_for_bit(site):
    easq = ranker(site)
    assert easq.lora is not None
    torch.nn.init.normal_(easq.lora.A)  # whatever A is
    emer = EmerRanker(10, ModelConfig(width=16, method="emer")).double()
    emer.load_state_dict({n: p for n, p in easq.state_dict().items() if n in emer.state_dict()})
    x, slots = torch.randn(7, 10, dtype=torch.float64), Slots.of(np.array([4, 3]))
    assert torch.equal(easq(x, slots).main, emer(x, slots).main)


@pytest.mark.parametrize("site", SITES)
def test_both_heads_read_the_same_values(site):
    hidden = ranker(site, trained=True).hidden(
        torch.randn(7, 10, dtype=torch.float64), Slots.of(np.array([4, 3]))
    )
    torch.testing.assert_close(hidden.main, hidden.satisfaction, rtol=0, atol=1e-12)
    assert not torch.allclose(hidden.main, hidden.h)  # the LoRA does reach them


def test_permuting_the_candidates_permutes_the_scores():
    model, x = ranker(trained=True), torch.randn(6, 10, dtype=torch.float64)
    order, slots = torch.tensor([4, 0, 5, 2, 1, 3]), Slots.of(np.array([6]))
    torch.testing.assert_close(model(x[order], slots).main, model(x, slots).main[order])


@pytest.mark.parametrize("site", SITES)
def test_padding_never_changes_a_score(site):
    """A request scores the same alone and beside a longer one."""
    model, x = ranker(site, trained=True), torch.randn(9, 10, dtype=torch.float64)
    beside = model(x, Slots.of(np.array([2, 6, 1])))
    alone = model(x[:2], Slots.of(np.array([2])))
    torch.testing.assert_close(beside.main[:2], alone.main)
    torch.testing.assert_close(beside.satisfaction[:2], alone.satisfaction)


def test_candidates_of_other_requests_do_not_matter():
    model, x = ranker(trained=True), torch.randn(5, 10, dtype=torch.float64)
    slots, changed = Slots.of(np.array([2, 3])), x.clone()
    changed[2:] += 1.0
    torch.testing.assert_close(model(changed, slots).main[:2], model(x, slots).main[:2])


def test_one_candidate_is_a_list_too():
    scores = ranker(trained=True)(torch.randn(1, 10, dtype=torch.float64), Slots.of(np.array([1])))
    assert torch.isfinite(scores.main).all()


@pytest.mark.parametrize("site", SITES)
def test_serving_gives_y_hat_without_the_satisfaction_head(site):
    model, slots = ranker(site, trained=True), Slots.of(np.array([2, 3]))
    x = torch.randn(5, 10, dtype=torch.float64)
    assert torch.equal(model.serve(x, slots), model(x, slots).main)


def test_no_router_starts_shut_in_a_thousand_initialisations():
    h = torch.nn.functional.normalize(torch.randn(64, 32), dim=-1) * 32**0.5
    shut = 0
    for seed in range(1000):
        torch.manual_seed(seed)
        shut += int((ReluMoe(32, MoeConfig(experts=2, hidden=2))(h).gates == 0).all(1).any())
    assert shut == 0


def test_a_head_whose_gates_are_all_shut_still_learns():
    head = ReluMoe(8, MoeConfig(experts=2, hidden=4))
    torch.nn.init.constant_(head.router.bias, -100.0)
    h = torch.randn(3, 8, requires_grad=True)
    routed = head(h)
    assert bool((routed.gates == 0).all())
    routed.score.sum().backward()
    assert h.grad is not None
    assert float(h.grad.abs().sum()) > 0


def test_a_head_has_no_output_bias_that_pair_losses_cannot_see():
    head = ReluMoe(8, MoeConfig(experts=2, hidden=4))
    assert head.shared is not None
    assert head.shared.bias is None
