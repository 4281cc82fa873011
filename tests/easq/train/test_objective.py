"""Eq. 17 as it is trained: by hand on three candidates, and the gradient matrix through it."""

import math

import numpy as np
import pytest
import torch

from easq.encoding import Inputs, Slots
from easq.model.config import LoraConfig, ModelConfig
from easq.model.ranker import EasqRanker, Scores
from easq.pairs import PairsConfig
from easq.train.batch import Batch, PairTensors, Views
from easq.train.config import LossSection, parse_config
from easq.train.objective import global_weights, terms, total

PAIRS = PairsConfig(cross_user=0.5, cross_user_alignment=0.25)


def pairs_of(*pairs: tuple[int, int, float]) -> PairTensors:
    preferred, other, weight = zip(*pairs, strict=True) if pairs else ((), (), ())
    index = [torch.tensor(x, dtype=torch.int64) for x in (preferred, other)]
    return PairTensors(*index, torch.tensor(weight, dtype=torch.float64))


def batch_of(main: PairTensors, answers: PairTensors, cross: PairTensors) -> Batch:
    """Three candidates of one request; candidates 0 and 2 are answered."""
    inputs = Inputs({}, {}, torch.zeros(3, 0), Slots.of(np.array([3])))
    return Batch(inputs, main, answers, torch.tensor([0, 2]), cross)


BATCH = batch_of(pairs_of((0, 1, 0.5), (2, 1, 0.5)), pairs_of((0, 2, 2.0)), pairs_of((0, 1, 1.0)))


def scores(y: list[float], s: list[float]) -> Scores:
    gates = torch.ones(3, 1)
    return Scores(
        torch.tensor(y, dtype=torch.float64, requires_grad=True),
        torch.tensor(s, dtype=torch.float64, requires_grad=True),
        gates,
        gates,
        torch.zeros(()),
    )


def neg_log_sigmoid(x: float) -> float:
    return math.log1p(math.exp(-x))


def value(loss: LossSection, at: Scores) -> torch.Tensor:
    return total(terms(at, BATCH, loss, PAIRS), global_weights(BATCH, loss, PAIRS), loss)


@pytest.mark.parametrize(
    ("reference", "limit", "reference_margin"),
    [
        ("satisfaction", None, 5.0),
        ("satisfaction", 2.0, 2.0),  # the clamp is active
        ("self", 2.0, 3.0),  # y-hat itself is never clamped
        ("none", 2.0, 0.0),
    ],
)
def test_the_total_is_eq_17_by_hand(reference, limit, reference_margin):
    loss = LossSection(
        satisfaction=0.7, alignment=3.0, reference=reference, reference_margin_limit=limit
    )
    y, s = [2.0, 0.5, -1.0], [4.0, 0.0, -1.0]
    main = (0.5 * neg_log_sigmoid(1.5) + 0.5 * neg_log_sigmoid(-1.5)) / 1.0
    satisfaction = neg_log_sigmoid(5.0)  # context and cross pair are the same two candidates
    alignment = neg_log_sigmoid(0.1 * (3.0 - reference_margin))
    expected = main + 0.7 * satisfaction + 3.0 * alignment
    assert value(loss, scores(y, s)).item() == pytest.approx(expected, abs=1e-12)


def test_cross_pairs_weigh_as_configured():
    weights = global_weights(BATCH, LossSection(), PAIRS)
    assert weights == pytest.approx((1.0, 2.0 + 0.5, 2.0 + 0.25, 0.0))


def test_alignment_raises_the_margin_of_the_served_score_only():
    at = scores([0.0, 0.0, 0.0], [1.0, 0.0, -1.0])
    value(LossSection(satisfaction=0.0, alignment=1.0), at).backward()
    quiet = scores([0.0, 0.0, 0.0], [1.0, 0.0, -1.0])
    value(LossSection(satisfaction=0.0, alignment=0.0), quiet).backward()
    assert at.main.grad is not None
    assert quiet.main.grad is not None
    push = at.main.grad - quiet.main.grad  # what L_DPO adds to L_main
    assert push[0].item() < 0 < push[2].item()
    assert at.satisfaction is not None
    assert at.satisfaction.grad is None


@pytest.mark.parametrize(
    ("weights", "learners"),
    [
        ({"satisfaction": 0.0, "alignment": 0.0}, {"backbone", "main"}),
        ({"satisfaction": 1.0, "alignment": 0.0}, {"backbone", "main", "lora", "satisfaction"}),
        ({"satisfaction": 0.0, "alignment": 1.0}, {"backbone", "main"}),
    ],
)
def test_the_gradient_matrix_holds_through_the_objective(weights, learners):
    torch.manual_seed(0)
    model = EasqRanker(10, ModelConfig(width=16, lora=LoraConfig()))
    assert model.lora is not None
    torch.nn.init.normal_(model.lora.B)
    at = model(torch.randn(3, 10), Slots.of(np.array([3])))
    value(LossSection(**weights), at).backward()
    reached = {
        name.split(".")[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
    }
    assert reached == learners


def test_behaviours_are_a_mean_over_views_of_what_is_to_be_predicted_of_each():
    done, counts = torch.zeros(2, 8, dtype=torch.float64), torch.zeros(2, 8, dtype=torch.float64)
    counts[:, 0] = 1  # of every view
    done[0, 0] = counts[0, 2] = 1  # candidate 2: an effective view, and no like
    done[1, 3] = 1  # candidate 0: what does not count is not asked
    batch = BATCH._replace(views=Views(torch.tensor([2, 0]), done, counts))
    log_odds = torch.zeros(3, 8, dtype=torch.float64)
    log_odds[2, 0], log_odds[2, 2], log_odds[0, 0] = 1.5, 0.5, -1.0
    at = scores([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])._replace(behaviours=log_odds)
    loss = LossSection(satisfaction=0.0, alignment=0.0, behaviours=3.0)
    weights = global_weights(batch, loss, PAIRS)
    assert weights.behaviours == 2
    expected = sum(map(neg_log_sigmoid, (1.5, -0.5, 1.0))) / 2
    got = total(terms(at, batch, loss, PAIRS), weights, loss)
    assert got.item() == pytest.approx(math.log(2) + 3 * expected, abs=1e-12)


def test_with_an_offset_behaviour_is_taught_what_y_adds_to_satisfaction():
    y, s = [2.0, 0.5, -1.0], [4.0, 0.0, -1.0]
    loss = LossSection(satisfaction=0.0, alignment=0.0, offset=0.5)
    behaviour = [y_hat - 0.5 * s_hat for y_hat, s_hat in zip(y, s, strict=True)]  # 0, .5, -.5
    expected = 0.5 * neg_log_sigmoid(behaviour[0] - behaviour[1])
    expected += 0.5 * neg_log_sigmoid(behaviour[2] - behaviour[1])
    at = scores(y, s)
    found = value(loss, at)
    assert found.item() == pytest.approx(expected, abs=1e-12)
    found.backward()
    assert at.satisfaction is not None
    assert at.satisfaction.grad is None


@pytest.mark.parametrize(
    ("model", "loss", "says"),
    [
        ({"behaviour_heads": True}, {}, "set both"),
        ({}, {"behaviours": 1.0}, "set both"),
        ({"behaviour_heads": True, "method": "emer"}, {"behaviours": 1.0}, "'easq' alone"),
    ],
)
def test_behaviour_heads_without_their_loss_are_refused(model, loss, says):
    tree = {"run": {"name": "t", "storage": "t"}, "data": {"history": "h"}}
    with pytest.raises(ValueError, match=says):
        parse_config({**tree, "model": model, "loss": loss}, "test")
