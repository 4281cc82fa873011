"""Topic `models` is bounded, and a replica gets what it needs all the same."""

import json
from pathlib import Path

import pytest

from easq.log.interface import MODELS
from easq.log.scan import MAX_ANNOUNCEMENTS
from easq.retention import KEPT_MS, forget_deltas
from easq.rollout import RolloutConfig, first_stage
from easq.rollout_log import announce, newest_rollout

ROLLOUT = first_stage(RolloutConfig(), 2, 1, "passed")


def windows_kept(log) -> list[int]:
    rows = log.read(MODELS, 0, log.begin(MODELS, 0)).table.to_pylist()
    return [json.loads(row["body"])["window"] for row in rows if row["kind"] == "delta"]


@pytest.fixture
def run(online_run):
    """Six windows are announced, and a rollout before the second, at a time of the past."""
    run = online_run(6)
    for window in range(6):
        if window == 1:
            announce(run.log, ROLLOUT, 0)
        run.learn()
    return run


def later(run, ms: int = 2 * KEPT_MS) -> int:
    rows = run.log.read(MODELS, 0, run.log.begin(MODELS, 0)).table
    return max(rows.column("made_at_ms").to_pylist()) + ms


def test_deltas_after_the_oldest_checkpoint_are_kept_and_older_ones_forgotten(run):
    forget_deltas(run.log, "online", 3, later(run))
    assert windows_kept(run.log) == [4, 5, 6]
    assert newest_rollout(run.log) == ROLLOUT
    forget_deltas(run.log, "online", 5, later(run))
    assert windows_kept(run.log) == [6]
    assert newest_rollout(run.log) == ROLLOUT
    assert run.log.end(MODELS, 0) == 8, "the record is told again when it must be, not each time"


def test_the_last_hour_is_kept_for_versions_that_wait_for_the_gate(run):
    forget_deltas(run.log, "online", 6, later(run, ms=KEPT_MS // 2))
    assert windows_kept(run.log) == [1, 2, 3, 4, 5, 6]


def test_deltas_of_another_run_go_by_time(run):
    forget_deltas(run.log, "another", 0, later(run))
    assert windows_kept(run.log) == []
    assert newest_rollout(run.log) == ROLLOUT


@pytest.mark.parametrize("window", range(4, 7))
def test_after_a_trainer_that_went_back_the_way_from_the_checkpoint_is_whole(
    run, tmp_path: Path, window: int
):
    run.restore(_checkpoint_at(run, 4, tmp_path))
    run.start(2)
    while run.learner.next_window < 6:
        run.learn()
    forget_deltas(run.log, "online", window, later(run))
    assert windows_kept(run.log)[-(6 - window) :] == list(range(window + 1, 7))[-(6 - window) :]


@pytest.fixture
def read(run, monkeypatch) -> list[int]:
    """How many announcements each reading brings into memory."""
    rows_read, of_log = [], run.log.read

    def counted(*arguments, **named):
        rows = of_log(*arguments, **named)
        rows_read.append(0 if rows is None else len(rows.offsets))
        return rows

    monkeypatch.setattr(run.log, "read", counted)
    return rows_read


def test_rollouts_are_looked_for_among_a_few_deltas_at_a_time(run, read):
    for _ in range(3 * MAX_ANNOUNCEMENTS):
        announce(run.log, ROLLOUT, 0)
    assert newest_rollout(run.log) == ROLLOUT
    assert 1 < max(read) <= MAX_ANNOUNCEMENTS


def test_where_nothing_is_forgotten_deltas_are_not_read_through(run, read):
    now_ms = later(run, ms=KEPT_MS // 2)
    read.clear()
    forget_deltas(run.log, "online", 6, now_ms)
    assert max(read) == 1


def _checkpoint_at(run, window: int, folder: Path) -> Path:
    again = type(run.learner)(run.learner.config, run.learner.spec, run.learner.device)
    for share in run.shares[:window]:
        again.learn(share)
    again.save(folder)
    return folder
