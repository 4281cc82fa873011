"""What a replica counts of its rankings while a version bakes, for the gate to read."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from easq.announcements import Rollout
from easq.log.interface import Log, LogError
from easq.vitals import Vitals, bucket, tell

log = logging.getLogger("ray.serve")


class VitalSigns:
    """Failures and scoring times by version since the stage under way began; else nothing.

    Args:
        newest: the rollout record that holds.
    """

    def __init__(self, replica: str, newest: Callable[[], Rollout | None]) -> None:
        self.replica, self.newest = replica, newest
        self._lock = threading.Lock()
        self._stage: Rollout | None = None
        self._failed = Counter[int]()
        self._latency: dict[int, Counter[int]] = {}

    @contextmanager
    def scoring(self, version: int) -> Iterator[None]:
        """Count what becomes of the block."""
        began = time.perf_counter()
        try:
            yield
        except Exception:
            self._count(version, None)
            raise
        self._count(version, time.perf_counter() - began)

    def _count(self, version: int, seconds: float | None) -> None:
        stage = self.newest()
        with self._lock:
            if stage != self._stage:
                self._stage, self._failed, self._latency = stage, Counter(), {}
            if stage is None or stage.ranks_below is None:
                return
            times = self._latency.setdefault(version, Counter())
            if seconds is None:
                self._failed[version] += 1
            else:
                times[bucket(seconds)] += 1

    def report(self) -> list[Vitals]:
        """A record for each version that has been asked in the stage."""
        with self._lock:
            if self._stage is None or self._stage.ranks_below is None:
                return []
            return [
                Vitals(
                    replica=self.replica,
                    version=version,
                    ranks_below=self._stage.ranks_below,
                    failed=self._failed[version],
                    latency=dict(times),
                )
                for version, times in self._latency.items()
            ]


class VitalsTeller:
    """A thread that tells of what is new. Records are totals, so one that is lost does no harm."""

    def __init__(self, models: Log, signs: VitalSigns, seconds: float) -> None:
        self.models, self.signs, self.seconds = models, signs, seconds
        self.told: list[Vitals] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="vitals", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()

    def _run(self) -> None:
        while not self.stopping.wait(self.seconds):
            if (news := self.signs.report()) and news != self.told:
                self._tell(news)

    def _tell(self, news: list[Vitals]) -> None:
        try:
            tell(self.models, news, time.time_ns() // 1_000_000)
        except LogError as error:
            log.warning("the gate is not told how a version does: %s", error)
        else:
            self.told = news
