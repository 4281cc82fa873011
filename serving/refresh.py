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
from serving.contract import DeltaReport, RefreshReport
from serving.deltas import DeltaFollower
from serving.live import Live, OnAir

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
    `evict` is called after a swap: older versions on this machine may go. Where deltas are
    followed, `deltas` puts a version on air.
    """

    def __init__(
        self,
        champion: Callable[[], Version | None],
        fetch: Callable[[Version], Path],
        evict: Callable[[], None],
        poll_seconds: float,
        deltas: DeltaFollower | None = None,
    ) -> None:
        self.champion, self.fetch, self.evict = champion, fetch, evict
        self.poll_seconds = poll_seconds
        self.deltas = deltas
        self.on_air = OnAir() if deltas is None else deltas.on_air
        self.report = RefreshReport()
        self.refused: Refused | None = None
        self._stop, self._woken = threading.Event(), threading.Event()
        self._looked = threading.Event()
        self.thread = threading.Thread(target=self._run, name="refresh", daemon=True)

    @property
    def live(self) -> Live | None:
        """Read it once a request: it is swapped by other threads."""
        return self.on_air.live

    @property
    def delta_report(self) -> DeltaReport | None:
        return self.deltas and self.deltas.report

    def start(self) -> None:
        self.thread.start()
        if self.deltas is not None:
            self.deltas.start()

    def wait_for_first_look(self, seconds: float) -> bool:
        """True once the registry's answer, if it had one, is on air; False: not within that time.

        Never from the event loop, which deltas wait for.
        """
        return self._looked.wait(seconds)

    def stop(self) -> None:
        self._stop.set()
        self.wake()
        if self.deltas is not None:
            self.deltas.stop()

    def wake(self) -> None:
        """Look now instead of at the next turn."""
        self._woken.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._woken.clear()
            self.look()
            self._looked.set()
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
            if self.deltas is not None:
                self.deltas.obey()
            return None
        if self.refused is not None and target == self.refused.version:
            return self.refused.problem
        try:
            self._put_on_air(self._loaded(target))
        except ValueError as error:
            self.refused = Refused(target, f"version {target.version} is refused: {error}")
            return self.refused.problem
        log.info("serving version %d of %s", target.version, target.name)
        self.evict()
        return None

    def _loaded(self, target: Version) -> Live:
        previous = self.on_air.previous
        if previous is not None and previous.version == target:
            return previous
        return Live.of(load_ranker(self.fetch(target)), target, time.time_ns() // 1_000_000)

    def _put_on_air(self, full: Live) -> None:
        if self.deltas is None:
            self.on_air.put(full)
        else:
            self.deltas.adopt(full)

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
