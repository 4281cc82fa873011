"""The budget: gamma finds what the budget allows, keeps to its bounds, survives a restart."""

import math

import numpy as np
import pytest
import torch

from easq.evaluate import behaviour_sums
from easq.history import History
from easq.train.budget import (
    GAMMAS,
    PACE,
    BudgetConfig,
    BudgetState,
    Measured,
    allowed,
    steered,
)
from easq.train.checkpoint import weights_of
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner, WindowScores
from easq.train.share import WindowShare, share_of

REQUESTS = 1_000.0
BUDGET = BudgetConfig(behaviour_loss_percent=1.0, requests=4_000)


def lost_by(share: float, cost: float) -> float:
    """What a world may ask for a share of s-hat in the score, in %: steeper than a line."""
    return min(cost * abs(share) ** 1.6, 80.0)


def measured(learnt: float, gamma: float, cost: float, noise: float = 0.0) -> Measured:
    """By a ranker that has learnt y = behaviour + `learnt` s when it should have `gamma`.

    `noise` grows with the root of the loss, as that of rankings does that differ more.
    """

    def worth(share: float) -> float:
        lost = lost_by(share, cost)
        return REQUESTS * (1 - (lost + noise * lost**0.5) / 100)

    late = learnt - gamma
    mixed = tuple(worth(late + other) for other in GAMMAS)
    return Measured(REQUESTS, worth(learnt), worth(late), mixed)


class World:
    """A ranker that follows gamma, and always comes late by half of what is missing."""

    def __init__(self, gamma: float, noise: float) -> None:
        self.state, self.learnt, self.noise = BudgetState(gamma=gamma), gamma, noise
        self.rng = np.random.default_rng(0)

    def losses(self, windows: int, cost: float) -> list[float]:
        """What behaviour truly loses in each of the windows."""
        losses = []
        for _ in range(windows):
            noise = self.noise * self.rng.normal()
            found = measured(self.learnt, self.state.gamma, cost, noise)
            self.state = steered(self.state, found, BUDGET)
            losses.append(lost_by(self.learnt, cost))
            self.learnt *= (self.state.gamma / self.learnt) ** 0.5
        return losses


@pytest.mark.parametrize("start", [0.02, 0.2, 1.5])
def test_it_finds_the_budget_from_below_and_above_through_noise(start):
    losses = World(start, noise=0.4).losses(200, cost=12.0)[50:]
    assert np.mean(losses) == pytest.approx(1.0, abs=0.1)
    assert np.std(losses) < 0.2


def test_it_comes_back_after_gamma_began_to_cost_twice_as_much():
    world = World(0.2, noise=0.0)
    world.losses(50, cost=12.0)
    after = world.losses(50, cost=24.0)
    assert after[0] == pytest.approx(2.0, abs=0.1)
    assert after[20:] == pytest.approx([1.0] * 30, abs=0.05)


def test_it_waits_at_the_last_gamma_and_leaves_it_as_soon_as_it_costs():
    world = World(0.2, noise=0.0)
    world.losses(500, cost=0.0)
    assert world.state.gamma == pytest.approx(GAMMAS[-1])
    world.losses(5, cost=12.0)
    assert world.state.gamma < 0.9 * GAMMAS[-1]
    world.losses(500, cost=3000.0)
    assert world.state.gamma == pytest.approx(GAMMAS[0])


def test_gamma_moves_no_faster_than_its_pace():
    moved = steered(BudgetState(gamma=0.1), measured(0.1, 0.1, cost=1e4), BUDGET)
    assert moved.gamma == pytest.approx(0.1 * math.exp(-PACE * REQUESTS / BUDGET.requests))


def test_the_curve_is_read_where_it_crosses_the_budget():
    for cost in (2.0, 12.0, 60.0):
        found = steered(BudgetState(gamma=0.1), measured(0.1, 0.1, cost), BUDGET)
        assert lost_by(allowed(found, 1.0), cost) == pytest.approx(1.0, rel=0.04)


def test_a_window_without_behaviour_changes_nothing():
    nothing = Measured(0.0, 0.0, 0.0, (0.0,) * len(GAMMAS))
    world = World(0.1, 0.0)
    world.losses(3, cost=12.0)
    for state in (BudgetState(gamma=0.1), world.state):
        assert steered(state, nothing, BUDGET) == state


def config_of(history: History, **tables) -> TrainConfig:
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 16, "heads": 2},
        "optim": {"batch": 16},
        "loss": {"alignment": 0.0, "offset": 0.5},
        "budget": {"behaviour_loss_percent": 1.0, "requests": 100},
    }
    return parse_config(tree | tables, "test")


@pytest.mark.parametrize("loss", [{"alignment": 0.0}, {"alignment": 1.0, "offset": 0.5}])
def test_it_is_refused_where_the_offset_is_not_all_that_aligns(make_history, loss):
    with pytest.raises(ValueError, match=r"needs loss.offset above 0.* loss.alignment = 0"):
        config_of(make_history(8), loss=loss)


def shares(history: History) -> list[WindowShare]:
    windows = history.windows(32)
    return [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]


def learner_of(config: TrainConfig, history: History) -> Learner:
    return Learner(config, history.description.features, torch.device("cpu"))


def learn(learner: Learner, share: WindowShare) -> tuple[WindowScores, dict[str, float]]:
    scores = learner.score(share)
    return scores, learner.learn(share, scores.loss)


def test_it_measures_the_served_score_against_it_less_what_satisfaction_adds(make_history):
    history = make_history(96)
    learner = learner_of(config_of(history), history)
    first, second, _ = shares(history)
    _, told = learn(learner, first)
    scores, _ = learn(learner, second)
    assert scores.satisfaction is not None
    assert scores.loss is not None
    gamma = told["budget/gamma"]
    assert scores.metrics["behaviour/ndcg_5"] == pytest.approx(
        scores.loss.served / scores.loss.requests
    )
    alone = scores.main - gamma * scores.satisfaction
    twin = behaviour_sums(scores.flat, alone, learner.config.order).as_dict()
    assert twin["behaviour/ndcg_5"] == pytest.approx(scores.loss.twin / scores.loss.requests)


def test_a_window_is_learnt_with_the_gamma_that_was_found(make_history):
    history = make_history(64)
    steering = learner_of(config_of(history), history)
    by_hand = learner_of(config_of(history, budget=None), history)
    gammas = []
    for share in shares(history):
        _, told = learn(steering, share)
        gammas.append(told["budget/gamma"])
        loss = by_hand.config.loss.model_copy(update={"offset": gammas[-1]})
        by_hand.config = by_hand.config.model_copy(update={"loss": loss})
        learn(by_hand, share)
    assert gammas[0] != gammas[1]
    for name, weight in weights_of(steering.state).items():
        assert torch.equal(weight, weights_of(by_hand.state)[name]), name


def test_a_restored_run_goes_on_bit_for_bit_with_its_gamma(make_history, tmp_path):
    history = make_history(128)
    first, *rest = shares(history)
    whole, stopped, resumed = (learner_of(config_of(history), history) for _ in range(3))
    for learner in (whole, stopped):
        learn(learner, first)
    stopped.save(tmp_path)
    resumed.restore(tmp_path)
    assert resumed.position == whole.position
    for share in rest:
        for learner in (whole, resumed):
            learn(learner, share)
    assert whole.position.budget != stopped.position.budget
    assert resumed.position == whole.position
    for name, weight in weights_of(whole.state).items():
        assert torch.equal(weight, weights_of(resumed.state)[name]), name


def test_a_run_gets_a_budget_or_loses_it_when_it_is_resumed(make_history, tmp_path):
    history = make_history(64)
    with_budget, without = config_of(history), config_of(history, budget=None)
    before = learner_of(without, history)
    learn(before, shares(history)[0])
    before.save(tmp_path)
    after = learner_of(with_budget, history)
    after.restore(tmp_path)
    assert after.position.budget == BudgetState(gamma=0.5)
    learn(after, shares(history)[1])
    (tmp_path / "later").mkdir()
    after.save(tmp_path / "later")
    before.restore(tmp_path / "later")
    assert before.position.budget is None
