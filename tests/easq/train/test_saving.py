"""A checkpoint is put on the disk while training goes on, and told of when it is there."""

import threading

import pytest
import torch

from easq.train import saving
from easq.train.checkpoint import newest_checkpoint, read_position
from easq.train.config import parse_config
from easq.train.latest import read_latest
from easq.train.learner import Learner
from easq.train.run_folder import SupersededError, claim, run_folder
from easq.train.saving import Saver
from easq.train.share import share_of


@pytest.fixture
def run(make_history, tmp_path):
    """Of a run of two windows: a saver, its learner, the shares, and what it tells."""
    history = make_history(20)
    run = {"name": "a", "storage": str(tmp_path)}
    data = {"history": str(history.root), "window": 10}
    config = parse_config({"run": run, "data": data, "model": {"width": 16, "heads": 2}}, "test")
    own, told = claim(config, history.description), []
    windows = history.windows(10)
    shares = [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]
    learner = Learner(config, history.description.features, torch.device("cpu"))
    return (
        Saver(own, run_folder(config), lambda path, _: told.append(path.name)),
        learner,
        shares,
        told,
    )


def test_the_checkpoint_holds_what_was_learnt_when_it_began(run, monkeypatch):
    saver, learner, (first, second), told = run
    may_go_on, put_folder = threading.Event(), saving.put_folder

    def slow_disk(building, path) -> None:
        assert may_go_on.wait(60)
        put_folder(building, path)

    monkeypatch.setattr(saving, "put_folder", slow_disk)
    learner.learn(first)
    saver.begin(learner)
    learner.learn(second)
    assert (saver.is_put, newest_checkpoint(saver.folder), told) == (False, None, [])
    may_go_on.set()
    saver.finish()
    assert told == ["window-000001"]
    assert read_latest(saver.folder).window == 1

    again = Learner(learner.config, learner.spec, learner.device)
    again.restore(saver.folder / "window-000001")
    assert again.position == read_position(saver.folder / "window-000001")
    again.learn(second)
    for mine, its in zip(
        again.state.ranker.parameters(), learner.state.ranker.parameters(), strict=True
    ):
        assert torch.equal(mine, its)


def test_the_next_checkpoint_waits_for_the_one_before_and_nothing_is_told_twice(run):
    saver, learner, shares, told = run
    for share in shares:
        learner.learn(share)
        saver.begin(learner)
    assert told == ["window-000001"]
    saver.finish()
    saver.finish()
    assert told == ["window-000001", "window-000002"]


def test_an_older_start_puts_nothing_and_hears_why(run, make_history):
    saver, learner, (first, _), told = run
    learner.learn(first)
    saver.begin(learner)
    saver.finish()
    claim(learner.config, make_history(20, seed=0).description)
    learner.position = learner.position.model_copy(update={"next_window": 2})
    with pytest.raises(SupersededError):
        saver.begin(learner)
    assert told == ["window-000001"]
