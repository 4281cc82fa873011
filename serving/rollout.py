"""Which version this replica serves: the champion, unless a rollout record says otherwise.

rollout = FollowedRollout(rank, champion, lookup)
rollout.told(record)      # whoever tails topic `models`
rollout.target()          # what the Refresher follows
"""

import logging
import threading
from collections.abc import Callable
from typing import NamedTuple

from easq.announcements import Rollout
from easq.log.interface import Log, LogError
from easq.registry import Version
from easq.rollout import lane_stopped
from easq.rollout_log import RolloutTail

log = logging.getLogger("ray.serve")


class Target(NamedTuple):
    """What a replica is to serve."""

    version: int | None
    """Number in the registry; None: whichever is champion."""
    stopped: str | None
    """Why deltas are not applied to it; None: they are."""


def target_version(rank: int, newest: Rollout | None) -> Target:
    """What the newest rollout means for the replica of a rank.

    Who waits for its wave goes on as before: after a rollback or a block the lane stays closed
    until the new version comes.

    A rollout that has reached all has nothing left to say: the alias was moved before, and
    whoever moves it later is followed. A rollback names its target for good, with or without
    the registry, until the next rollout.
    """
    if newest is None:
        return Target(None, None)
    if newest.ranks_below is None:
        return Target(None if newest.follow_deltas else newest.version, lane_stopped(newest))
    if rank < newest.ranks_below:
        return Target(newest.version, None)
    return Target(newest.previous, newest.stopped)


class FollowedRollout:
    """The newest rollout record, and the versions it may name.

    Args:
        rank: of this replica, now; Serve gives ranks anew when replicas come and go.
        champion: the version under the alias.
        lookup: a version by its number.
    """

    def __init__(
        self,
        rank: Callable[[], int],
        champion: Callable[[], Version | None],
        lookup: Callable[[int], Version],
    ) -> None:
        self.rank, self.champion, self.lookup = rank, champion, lookup
        self.newest: Rollout | None = None
        self.known: dict[int, Version] = {}

    @property
    def stopped(self) -> str | None:
        """Why deltas may not be applied to the target; None: they may."""
        return target_version(self.rank(), self.newest).stopped

    def told(self, record: Rollout) -> bool:
        """Remember a record; whether it is news."""
        if record == self.newest:
            return False
        self.newest = record
        return True

    def target(self) -> Version | None:
        """The version to serve. Versions met before need no registry."""
        number = target_version(self.rank(), self.newest).version
        if number is not None:
            found = self.known.get(number) or self.lookup(number)
        elif (found := self.champion()) is None:
            return None
        self.known[found.version] = found
        return found


class RolloutWatcher:
    """A thread that tells of rollout records soon after they are written."""

    def __init__(
        self, models: Log, rollout: FollowedRollout, wake: Callable[[], None], seconds: float
    ) -> None:
        self.models, self.rollout, self.wake, self.seconds = models, rollout, wake, seconds
        self.tail: RolloutTail | None = None
        self.troubled = False
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="rollout", daemon=True)

    def start(self) -> None:
        """Look once before anything is served, then go on."""
        self.look()
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()

    def look(self) -> None:
        try:
            self.tail = self.tail or RolloutTail(self.models)
            newest = self.tail.look()
        except LogError as error:
            if not self.troubled:
                log.warning("rollouts are not followed until this is over: %s", error)
            self.troubled = True
            return
        self.troubled = False
        if newest is not None and self.rollout.told(newest):
            self.wake()

    def _run(self) -> None:
        while not self.stopping.wait(self.seconds):
            self.look()
