"""The budget: gamma finds what the budget allows, keeps to its bounds, survives a restart."""

import math

import numpy as np
import pytest
import torch

from easq.evaluate import behaviour_sums
from easq.history import History
from easq.train.budget import BudgetConfig, BudgetState, Measured, steered
from easq.train.checkpoint import weights_of
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner, WindowScores
from easq.train.share import WindowShare, share_of

LISTS = 1_000.0
BUDGET = BudgetConfig(behaviour_loss_percent=1.0, requests=8_000)


def measured(lost_percent: float) -> Measured:
    return Measured(LISTS * (1 - lost_percent / 100), LISTS, LISTS)


def lost_by(gamma: float) -> float:
    """What a world might ask for gamma, in %: 1 % at 0.2."""
    return (gamma / 0.2) ** 1.5


def follow(state: BudgetState, windows: int, noise: float, lag: float = 2.0) -> list[float]:
    """The loss of each window in a world whose ranker follows gamma some windows late."""
    rng, learnt, losses = np.random.default_rng(0), state.gamma, []
    for _ in range(windows):
        losses.append(lost_by(learnt))
        state = steered(state, measured(losses[-1] + rng.normal(scale=noise)), BUDGET)
        learnt *= (state.gamma / learnt) ** (1 / lag)
    return losses


@pytest.mark.parametrize("start", [0.01, 0.2, 2.0])
def test_it_finds_the_budget_from_below_and_above_through_noise(start):
    losses = follow(BudgetState(gamma=start), 200, noise=0.4)[100:]
    assert np.mean(losses) == pytest.approx(1.0, abs=0.1)
    assert np.std(losses) < 0.15


def test_it_waits_at_a_bound_and_leaves_it_as_soon_as_it_costs():
    state = BudgetState(gamma=0.1)
    for _ in range(500):
        state = steered(state, measured(0.0), BUDGET)
    assert state.gamma == BUDGET.most
    windows = 0
    while state.gamma == BUDGET.most:
        state, windows = steered(state, measured(5.0), BUDGET), windows + 1
    assert windows <= 2
    for _ in range(500):
        state = steered(state, measured(50.0), BUDGET)
    assert state.gamma == BUDGET.least


def test_a_window_that_costs_everything_moves_gamma_no_faster_than_bounded():
    moved = steered(BudgetState(gamma=0.1), measured(90.0), BUDGET)
    assert moved.gamma == pytest.approx(0.1 * math.exp(-LISTS / BUDGET.requests))


def test_a_window_without_lists_changes_nothing():
    state = BudgetState(gamma=0.1)
    assert steered(state, Measured(0.0, 0.0, 0.0), BUDGET) == state
    learnt = steered(state, measured(2.0), BUDGET)
    assert steered(learnt, Measured(0.0, 0.0, 0.0), BUDGET) == learnt


def config_of(history: History, **tables) -> TrainConfig:
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 16, "heads": 2},
        "optim": {"batch": 16},
        "loss": {"alignment": 0.0, "offset": 0.5},
        "budget": {"behaviour_loss_percent": 1.0, "requests": 200},
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
        scores.loss.served / scores.loss.lists
    )
    alone = scores.main - gamma * scores.satisfaction
    twin = behaviour_sums(scores.flat, alone, learner.config.order).as_dict()
    assert twin["behaviour/ndcg_5"] == pytest.approx(scores.loss.twin / scores.loss.lists)


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
