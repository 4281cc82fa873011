"""Which version a replica serves while a rollout is under way, and after a rollback."""

import time
from pathlib import Path

import pytest

from easq.announcements import Rollout
from easq.log.sqlite import SqliteLog
from easq.registry import Version
from easq.rollout import rolled_back
from easq.rollout_log import announce
from serving.refresh import Refresher
from serving.rollout import FollowedRollout, RolloutWatcher, Target, target_version

CANARY = Rollout(version=8, previous=7, ranks_below=1, reason="passed")
STOPPED = CANARY.model_copy(update={"stopped": "version 6 is blocked"})
"""The canary of a version that came while the lane was stopped."""


@pytest.mark.parametrize(
    ("rank", "newest", "target"),
    [
        (0, None, Target(None, None)),
        (0, CANARY, Target(8, None)),
        (1, CANARY, Target(7, None)),
        (1, CANARY.model_copy(update={"ranks_below": 2}), Target(8, None)),
        (1, CANARY.model_copy(update={"ranks_below": None}), Target(None, None)),
        (0, rolled_back(8, 7, "breach"), Target(7, "breach")),
        (5, rolled_back(8, 7, "breach"), Target(7, "breach")),
        (0, STOPPED, Target(8, None)),
        (1, STOPPED, Target(7, "version 6 is blocked")),
        (1, STOPPED.model_copy(update={"ranks_below": None}), Target(None, None)),
    ],
)
def test_rank_and_record_decide(rank, newest, target):
    assert target_version(rank, newest) == target


@pytest.fixture
def rollout(shelf) -> FollowedRollout:
    """Of rank 0, on the shelf; versions by number are those that were published."""
    shelf.published = {}

    def lookup(number: int) -> Version:
        if shelf.away is not None:
            raise shelf.away
        return shelf.published[number]

    return FollowedRollout(lambda: 0, shelf.champion, lookup)


@pytest.fixture
def following(shelf, rollout) -> Refresher:
    return Refresher(rollout.target, shelf.fetch, shelf.evict, poll_seconds=60.0)


def publish(shelf, number: int) -> None:
    shelf.publish(number)
    shelf.published[number] = shelf.named


def served(refresher: Refresher) -> int | None:
    return refresher.live and refresher.live.version.version


def test_a_rollback_needs_neither_registry_nor_files(shelf, rollout, following):
    publish(shelf, 1)
    following.look()
    first = following.live.ranker
    publish(shelf, 2)
    following.look()
    shelf.away = ConnectionError("no registry")
    (shelf.directory / "1" / "manifest.json").unlink()
    rollout.told(rolled_back(2, 1, "by hand"))
    following.look()
    assert following.live.ranker is first
    assert rollout.stopped == "by hand"
    assert following.report.problem is None


def test_the_canary_takes_the_target_before_it_is_champion(shelf, rollout, following):
    publish(shelf, 1)
    champion = shelf.named
    following.look()
    publish(shelf, 2)
    shelf.named = champion
    rollout.told(Rollout(version=2, previous=1, ranks_below=1, reason="passed"))
    following.look()
    assert served(following) == 2


def test_a_record_in_the_log_wakes_a_refresher_that_would_sleep(
    shelf, rollout, following, tmp_path: Path
):
    publish(shelf, 1)
    log = SqliteLog(tmp_path / "log.db")
    watcher = RolloutWatcher(log, rollout, following.wake, seconds=0.01)
    publish(shelf, 2)
    announce(log, rolled_back(2, 1, "by hand"), 0)
    watcher.start()
    following.start()
    wait_until(lambda: served(following) == 1)
    announce(log, Rollout(version=2, previous=1, ranks_below=None, reason="passed"), 0)
    wait_until(lambda: served(following) == 2)
    watcher.stop()
    following.stop()
    following.thread.join(60)
    assert not following.thread.is_alive()


def wait_until(fact) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)
