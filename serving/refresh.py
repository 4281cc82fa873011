"""Follow the champion: load it beside the live version, verify it, swap (design: rolling refresh).

Nothing leaves routing, so a refresh loses no request even with one replica.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from easq.artefact import load_ranker
from easq.registry import Version
from serving.contract import RefreshReport
from serving.live import Live

log = logging.getLogger("ray.serve")


class Refused(NamedTuple):
    version: Version
    problem: str


class Refresher:
    """Looks at the registry every few seconds, in a thread.

    A registry that fails keeps the live version; a version that fails its checks is refused
    once and for all, until another becomes champion. Each change is logged once.
    `champion` may name another version while a rollout or a rollback says so (rollout.py);
    `wake` makes it look at once. The version before stays in memory, to go back without a load.
    `evict` is called after a swap: older versions on this machine may go.
    """

    def __init__(
        self,
        champion: Callable[[], Version | None],
        fetch: Callable[[Version], Path],
        evict: Callable[[], None],
        poll_seconds: float,
    ) -> None:
        self.champion, self.fetch, self.evict = champion, fetch, evict
        self.poll_seconds = poll_seconds
        self.live: Live | None = None
        self.previous: Live | None = None
        self.report = RefreshReport()
        self.refused: Refused | None = None
        self._stop, self._woken = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, name="refresh", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.wake()

    def wake(self) -> None:
        """Look now instead of at the next turn."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            self.look()
            self._woken.wait(self.poll_seconds)

    def look(self) -> None:
        """Ask once who is champion, and serve it if it is another and good."""
        target = None
        try:
            target = self.champion()
            problem = self._follow(target)
        except Exception as error:  # noqa: BLE001  whatever ails a refresh, the live version serves on
            problem = f"the champion cannot be asked for or fetched: {_sentence(error)}"
        self._note(target, problem)

    def _follow(self, target: Version | None) -> str | None:
        """Load and swap if need be; why the champion is not served, if it is not."""
        if target is None:
            return "no version is champion in the registry"
        if self.live is not None and target == self.live.version:
            return None
        if self.refused is not None and target == self.refused.version:
            return self.refused.problem
        if self.previous is not None and target == self.previous.version:
            self._swap(self.previous)
            return None
        try:
            ranker = load_ranker(self.fetch(target))
        except ValueError as error:
            self.refused = Refused(target, f"version {target.version} is refused: {error}")
            return self.refused.problem
        self._swap(Live.of(ranker, target, time.time_ns() // 1_000_000))
        self.evict()
        return None

    def _swap(self, following: Live) -> None:
        target = following.version
        self.live, self.previous = following, self.live
        log.info("serving version %d of %s", target.version, target.name)

    def _note(self, target: Version | None, problem: str | None) -> None:
        if problem != self.report.problem and problem is not None:
            log.warning("the live version stays: %s", problem)
        elif problem is None and self.report.problem is not None:
            log.info("the champion is served again")
        self.report = RefreshReport(
            champion=target and target.version,
            checked_at_ms=time.time_ns() // 1_000_000,
            problem=problem,
        )


def _sentence(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
