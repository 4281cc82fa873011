"""Rankings take turns, and one that would wait too long for its turn is refused at once.

A queue without such a bound does not help a service that is asked for more than it can do: it is
always full, and everybody is answered late. What counts as too long is a time, so the number that
may wait follows from how fast this machine ranks what it is asked.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.refusal import RefusedError

NEWEST = 0.02
"""Weight of the newest turn in the mean: one moment in which the machine stands still says little
about the turns that follow."""


class Admission:
    """The queue before a replica's ranker; used from its event loop alone.

    Between two turns the loop does everything else that has come: events, refusals and probes
    do not stand in the queue.

    Args:
        longest_seconds: a ranking that would wait longer is refused.
    """

    def __init__(self, longest_seconds: float) -> None:
        self.longest_seconds = longest_seconds
        self.refused = 0
        self._queued = 0  # the one whose turn it is among them
        self._turns = 0
        self._turn_seconds = 0.0  # mean, with all that the loop does meanwhile
        self._free_at = 0.0  # the last turn ended
        self._ranker = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the ranker. Raises RefusedError when too many do so already."""
        self.check()
        self._queued += 1
        came = time.monotonic()
        try:
            async with self._ranker:
                await asyncio.sleep(0)  # or whoever came at once would be ranked at one go
                try:
                    yield
                finally:
                    self._note(came, time.monotonic())
        finally:
            self._queued -= 1

    def _note(self, came: float, ended: float) -> None:
        """The first turns, of a replica that warms up or of a machine that stood still, count no
        more than others, or a burst that follows would be refused for them."""
        taken = min(ended - max(came, self._free_at), 2 * self.longest_seconds)
        self._free_at, self._turns = ended, self._turns + 1
        newest = max(NEWEST, 1 / self._turns)
        self._turn_seconds += newest * (taken - self._turn_seconds)

    def check(self) -> None:
        """Raises RefusedError when too many wait; an empty queue refuses nobody, or a slow moment
        would be held against all who follow."""
        wait_seconds = self._queued * self._turn_seconds
        if wait_seconds <= self.longest_seconds:
            return
        self.refused += 1
        raise RefusedError(
            "overloaded",
            f"The rankings before this one, {self._queued}, would take {wait_seconds:.2g} s, and "
            f"none waits longer than {self.longest_seconds:g} s: ask again after a second. Where "
            "this lasts, add replicas or raise EASQ_QUEUE_SECONDS.",
        )
