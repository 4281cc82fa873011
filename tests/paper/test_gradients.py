"""Which loss trains which parameters (EASQ §4.4-4.5): the whole isolation argument."""

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from easq.encoding import Slots
from easq.losses import online_dpo, pairwise_logistic
from easq.model.config import LoraConfig, ModelConfig
from easq.model.ranker import EasqRanker, Scores

WEIGHT = torch.ones(2)
LEFT, RIGHT = torch.tensor([0, 3]), torch.tensor([1, 4])


def main(scores: Scores) -> torch.Tensor:
    return pairwise_logistic(scores.main[LEFT], scores.main[RIGHT], WEIGHT)


def satisfaction(scores: Scores) -> torch.Tensor:
    assert scores.satisfaction is not None
    return pairwise_logistic(scores.satisfaction[LEFT], scores.satisfaction[RIGHT], WEIGHT)


def alignment(scores: Scores) -> torch.Tensor:
    assert scores.satisfaction is not None
    y, s = scores.main, scores.satisfaction
    return online_dpo(y[LEFT] - y[RIGHT], s[LEFT] - s[RIGHT], WEIGHT, beta=0.1)


def ranker(site: str = "bypass", **options) -> EasqRanker:
    torch.manual_seed(0)
    model = EasqRanker(10, ModelConfig(width=16, lora=LoraConfig(site=site), **options))  # type: ignore[arg-type]
    assert model.lora is not None
    torch.nn.init.normal_(model.lora.B)  # at B = 0 the gradient of A is zero for another reason
    return model


def parts_with_gradient(model: EasqRanker, x: torch.Tensor) -> set[str]:
    parts = {"embedding" if x.grad is not None and bool(x.grad.abs().sum() > 0) else ""}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0):
            parts.add(name.split(".")[0])
    return parts - {""}


@pytest.mark.parametrize("site", ["bypass", "input_proj", "qkv"])
@pytest.mark.parametrize(
    ("loss", "learners"),
    [
        (main, {"embedding", "backbone", "main"}),
        (satisfaction, {"lora", "satisfaction"}),
        (alignment, {"embedding", "backbone", "main"}),
    ],
)
def test_each_loss_trains_only_its_own_pathway(loss, learners, site):
    model, x = ranker(site), torch.randn(6, 10, requires_grad=True)
    loss(model(x, Slots.of(np.array([3, 3])))).backward()
    assert parts_with_gradient(model, x) == learners


def test_satisfaction_reaches_the_rows_only_where_the_option_says_so():
    model = ranker(satisfaction_updates_embeddings=True)
    x = torch.randn(6, 10, requires_grad=True)
    satisfaction(model(x, Slots.of(np.array([3, 3])))).backward()
    assert parts_with_gradient(model, x) == {"embedding", "lora", "satisfaction"}


def test_behaviour_heads_train_rows_and_nothing_of_either_pathway():
    model, x = ranker(behaviour_heads=True), torch.randn(6, 10, requires_grad=True)
    log_odds = model(x, Slots.of(np.array([3, 3]))).behaviours
    assert log_odds is not None
    binary_cross_entropy_with_logits(log_odds, torch.ones_like(log_odds)).backward()
    assert parts_with_gradient(model, x) == {"embedding", "behaviours"}


def test_behaviour_heads_leave_the_first_weights_of_both_pathways_as_they_are():
    torch.manual_seed(0)
    plain = EasqRanker(10, ModelConfig(width=16)).state_dict()
    torch.manual_seed(0)
    headed = EasqRanker(10, ModelConfig(width=16, behaviour_heads=True)).state_dict()
    assert headed.keys() - plain.keys() == {"behaviours.weight", "behaviours.bias"}
    for name, weight in plain.items():
        assert torch.equal(weight, headed[name]), name


def test_two_functional_passes_give_the_same_gradients_as_one_routed_pass():
    """The oracle of the stop_grads: each pathway alone, the other's parameters frozen."""
    model, slots = ranker(), Slots.of(np.array([3, 3]))
    x = torch.randn(6, 10)
    scores = model(x, slots)
    (main(scores) + satisfaction(scores)).backward()
    routed = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    for loss, trained in ((main, ("backbone", "main")), (satisfaction, ("lora", "satisfaction"))):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(trained))
        loss(model(x, slots)).backward()
    alone = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert routed.keys() == alone.keys()
    for name in routed:
        torch.testing.assert_close(routed[name], alone[name])
