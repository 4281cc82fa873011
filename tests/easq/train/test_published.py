"""What is served: averages of the dense weights, rows as they are; the same after a restart."""

from pathlib import Path

import numpy as np
import pytest
import torch

from easq.artefact import load_ranker
from easq.history import History
from easq.samples import flatten
from easq.train.checkpoint import weights_of, write_checkpoint
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.published import Published
from easq.train.share import WindowShare, share_of
from easq.versions import version_from_checkpoint

STEPS = 8


class Run:
    """A learner beside what is served of it."""

    def __init__(self, history: History, average_steps: int = STEPS) -> None:
        tree = {
            "run": {"name": "t", "storage": "t"},
            "data": {"history": str(history.root), "window": 40},
            "model": {"width": 16, "heads": 2},
            "optim": {"batch": 20},
            "published": {"average_steps": average_steps},
        }
        config = parse_config(tree, "test")
        self.learner = Learner(config, history.description.features, torch.device("cpu"))
        self.published = Published(self.learner)

    def learn(self, share: WindowShare) -> None:
        self.learner.learn(share)
        self.published.follow(self.learner)

    def save(self, directory: Path) -> Path:
        directory.mkdir()
        write_checkpoint(directory, self.published.contents(self.learner))
        return directory

    @property
    def served(self) -> Learner:
        return self.published.of(self.learner)


@pytest.fixture
def history(make_history) -> History:
    return make_history(240, answer_share=0.3)


@pytest.fixture
def shares(history: History) -> list[WindowShare]:
    windows = history.windows(40)
    return [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]


def copies(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in weights_of(learner.state).items()}


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


def test_served_are_the_average_of_the_dense_weights_and_the_newest_rows(history, shares):
    run = Run(history)
    expected = copies(run.learner)
    for number, share in enumerate(shares):
        run.learn(share)
        rate = max(1 / STEPS, 10 / (10 + 2 * (number + 1)))  # two steps a window
        newest = copies(run.learner)
        for name, weight in newest.items():
            kept = 0.0 if name.startswith("rows.") else (1 - rate) ** 2
            expected[name] = kept * expected[name] + (1 - kept) * weight
    served = copies(run.served)
    for name, weight in expected.items():
        torch.testing.assert_close(served[name], weight, rtol=0, atol=1e-6)
    newest = copies(run.learner)
    differ = {name for name, weight in served.items() if not torch.equal(weight, newest[name])}
    assert any(name.startswith("ranker.backbone") for name in differ)


def test_training_is_the_same_whether_averages_are_served_or_not(history, shares):
    averaged, newest = Run(history), Run(history, average_steps=1)
    for share in shares:
        averaged.learn(share)
        newest.learn(share)
    assert_equal(copies(averaged.learner), copies(newest.learner))
    assert_equal(copies(newest.served), copies(newest.learner))


def test_scores_before_learning_are_those_that_are_served(history, shares):
    run = Run(history)
    for share in shares[:4]:
        run.learn(share)
    scores = run.served.score(shares[4]).main
    for name, weight in run.published.ranker.state_dict().items():
        run.learner.state.ranker.state_dict()[name].copy_(weight)
    np.testing.assert_array_equal(scores, run.learner.score(shares[4]).main)


def test_a_restored_run_learns_and_serves_the_same_bit_for_bit(history, shares, tmp_path):
    whole, resumed = Run(history), Run(history)
    for share in shares[:3]:
        whole.learn(share)
    resumed.published.restore(whole.save(tmp_path / "window-3"), resumed.learner)
    assert_equal(copies(resumed.served), copies(whole.served))
    for share in shares[3:]:
        for run in (whole, resumed):
            run.learn(share)
    assert_equal(copies(resumed.learner), copies(whole.learner))
    assert_equal(copies(resumed.served), copies(whole.served))


def test_a_version_of_a_checkpoint_scores_as_the_served_learner(history, shares, tmp_path):
    run = Run(history)
    for share in shares[:3]:
        run.learn(share)
    checkpoint = run.save(tmp_path / "window-3")
    config = run.learner.config
    version_from_checkpoint(checkpoint, config, history, tmp_path / "version")
    rows = shares[3].rows
    scores = load_ranker(tmp_path / "version").score(flatten(rows).columns)
    np.testing.assert_allclose(scores, run.served.score(shares[3]).main, atol=1e-5)
    assert np.abs(scores - run.learner.score(shares[3]).main).max() > 1e-4


@pytest.mark.parametrize(("before", "after"), [(1, STEPS), (STEPS, 1)])
def test_averages_may_begin_and_end_within_a_run(history, shares, tmp_path, before, after):
    first, second = Run(history, before), Run(history, after)
    for share in shares[:3]:
        first.learn(share)
    second.published.restore(first.save(tmp_path / "window-3"), second.learner)
    assert_equal(copies(second.learner), copies(first.learner))
    for share in shares[3:]:
        for run in (first, second):
            run.learn(share)
    assert_equal(copies(second.learner), copies(first.learner))
