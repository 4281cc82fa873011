"""Steps go on while a checkpoint is written, and what is written is of one moment."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from easq.history import History
from easq.train.checkpoints import Checkpoints, forget_old, kept_windows
from easq.train.config import parse_config
from easq.train.latest import read_latest
from easq.train.learner import Learner
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import Claim, SupersededError, claim, run_folder
from easq.train.share import share_of

WINDOWS = 5


class Begun(NamedTuple):
    learner: Learner
    own: Claim
    folder: Path
    learn: Callable[[], None]


def begun(history: History, storage: Path) -> Begun:
    tree = {
        "run": {"name": "run", "storage": str(storage)},
        "data": {"history": str(history.root), "window": 24},
        "model": {"width": 16, "heads": 2},
    }
    config = parse_config(tree, "test")
    own = claim(config, history.description)
    learner = Learner(config, history.description.features, torch.device("cpu"))
    windows = history.windows(24)

    def learn() -> None:
        w = windows[learner.next_window]
        share = share_of(history.read(w), w, len(windows), 0, 1)
        learner.score(share)
        learner.learn(share)

    return Begun(learner, own, run_folder(config), learn)


@pytest.fixture
def run(make_history, tmp_path: Path) -> Begun:
    return begun(make_history(24 * WINDOWS, answer_share=0.3), tmp_path)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_checkpoint_is_of_its_window_though_steps_go_on(run, tmp_path):
    """The second one reuses the first one's memory."""
    told: list[int] = []
    checkpoints = Checkpoints(run.folder, run.own, lambda at: told.append(at.next_window))
    may_go_on = threading.Event()
    expected = {}
    checkpoints._writer.submit(may_go_on.wait, 120)  # the writer is busy while steps go on
    for window in (1, 3):
        while run.learner.next_window < window:
            run.learn()
        expected[window] = tmp_path / f"expected-{window}"
        expected[window].mkdir()
        run.learner.save(expected[window])
        checkpoints.begin(run.learner.contents())
        run.learn()
        may_go_on.set()
    assert told == [1], "a checkpoint is reported when the next one is due"
    checkpoints.settle()
    assert told == [1, 3]
    assert kept_windows(run.folder) == [1, 3]
    for window, folder in expected.items():
        assert files(run.folder / f"window-{window:06d}") == files(folder)
    latest = read_latest(run.folder)
    assert latest is not None
    assert latest.window == 3


def test_a_run_that_was_taken_over_hears_of_it_at_the_next_window(run):
    checkpoints = Checkpoints(run.folder, run.own, lambda at: pytest.fail("not complete"))
    run.learn()
    newer = json.loads((run.folder / "run.json").read_text()) | {"token": "of another start"}
    (run.folder / "run.json").write_text(json.dumps(newer))
    checkpoints.begin(run.learner.contents())
    checkpoints._writer.submit(lambda: None).result(timeout=120)  # it follows the writing
    with pytest.raises(SupersededError, match="taken over"):
        checkpoints.check()
    with pytest.raises(SupersededError, match="taken over"):
        checkpoints.settle()
    assert newest_checkpoint(run.folder) is None


def test_old_ones_go_but_for_the_newest(run):
    checkpoints = Checkpoints(run.folder, run.own, lambda at: None)
    for _ in range(WINDOWS):
        run.learn()
        checkpoints.begin(run.learner.contents())
    checkpoints.settle()
    forget_old(run.folder, keep=3)
    assert kept_windows(run.folder) == [3, 4, 5]
    newest = newest_checkpoint(run.folder)
    assert newest is not None
    assert read_position(newest).next_window == WINDOWS
