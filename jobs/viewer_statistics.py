"""What viewers have seen of the service, counted while they go on."""

import threading
from array import array
from collections import Counter
from typing import NamedTuple

import numpy as np

from easq.simulate.shown import Satisfaction, Shown, satisfaction_of


class Bucket(NamedTuple):
    """Some seconds of rankings."""

    start_seconds: float  # since the viewers came
    satisfaction: Satisfaction


class ViewingStatistics(NamedTuple):
    """All since the viewers came."""

    requests: int  # answered with a ranking
    refused: int  # of the rankings: the service was asked for more than it can do
    failed: dict[str, int]  # by status and code, or by what befell the connection
    p50_ms: float  # of those answered, from sending to the whole response; NaN: none
    p99_ms: float
    behind_seconds: float  # how late the latest request was sent: the viewers were too few
    versions: dict[int, int]  # responses
    version: int | None  # of the last response; None: there is none
    seq: int
    without_token: int
    questions: int  # items shown that could be asked about
    answers: int  # given by viewers
    accepted: dict[str, int]  # events, by kind
    rejected: dict[str, int]  # events, by code
    retries: int  # batches sent again
    unconfirmed: int  # events sent, and given up without an answer of the service
    buckets: list[Bucket]  # whole ones, and the last when all have gone

    @property
    def not_ranked(self) -> int:
        """Requests that got no ranking, refused or failed."""
        return self.refused + sum(self.failed.values())


class Tally:
    """Counts; called by the viewers' thread, read by any."""

    def __init__(self, satisfied_above: float, bucket_seconds: float) -> None:
        self.satisfied_above, self.bucket_seconds = satisfied_above, bucket_seconds
        self._lock = threading.Lock()
        self._times, self._milliseconds = array("d"), array("d")
        self._failed: Counter[str] = Counter()
        self._versions: Counter[int] = Counter()
        self._counts: Counter[str] = Counter()
        self._accepted: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._version: int | None = None
        self._seq, self._behind = -1, 0.0
        self._shown: list[Shown] = []
        self._bucket, self._buckets = 0, list[Bucket]()

    def ranked(
        self, seconds: float, milliseconds: float, version: int, seq: int, shown: Shown
    ) -> None:
        """A ranking came, so many seconds after the viewers."""
        with self._lock:
            self._times.append(seconds)
            self._milliseconds.append(milliseconds)
            self._versions[version] += 1
            self._version, self._seq = version, seq
            self._show(seconds, shown)

    def failed(self, problem: str) -> None:
        with self._lock:
            self._failed[problem] += 1

    def sent_late(self, seconds: float) -> None:
        with self._lock:
            self._behind = max(self._behind, seconds)

    def count(self, name: str, number: int = 1) -> None:
        """`refused`, `without_token`, `questions`, `answers`, `retries` or `unconfirmed`."""
        with self._lock:
            self._counts[name] += number

    def accepted(self, kind: str) -> None:
        with self._lock:
            self._accepted[kind] += 1

    def rejected(self, code: str) -> None:
        with self._lock:
            self._rejected[code] += 1

    def finish(self) -> None:
        """Nothing more comes."""
        with self._lock:
            self._judge()

    def latencies(self) -> np.ndarray:
        """Seconds since the viewers came, and milliseconds, of each ranking, [n, 2]."""
        with self._lock:
            return np.array([self._times, self._milliseconds]).T

    def statistics(self) -> ViewingStatistics:
        with self._lock:
            p50, p99 = _percentiles(self._milliseconds)
            return ViewingStatistics(
                requests=len(self._milliseconds),
                refused=self._counts["refused"],
                failed=dict(self._failed),
                p50_ms=p50,
                p99_ms=p99,
                behind_seconds=self._behind,
                versions=dict(self._versions),
                version=self._version,
                seq=self._seq,
                without_token=self._counts["without_token"],
                questions=self._counts["questions"],
                answers=self._counts["answers"],
                accepted=dict(self._accepted),
                rejected=dict(self._rejected),
                retries=self._counts["retries"],
                unconfirmed=self._counts["unconfirmed"],
                buckets=list(self._buckets),
            )

    def _show(self, seconds: float, shown: Shown) -> None:
        bucket = int(seconds / self.bucket_seconds)
        if bucket > self._bucket:
            self._judge()
            self._bucket = bucket
        self._shown.append(shown)

    def _judge(self) -> None:
        if self._shown:
            judged = satisfaction_of(self._shown, self.satisfied_above)
            self._buckets.append(Bucket(self._bucket * self.bucket_seconds, judged))
            self._shown = []


def _percentiles(values: array) -> tuple[float, float]:
    if not values:
        return float("nan"), float("nan")
    p50, p99 = np.percentile(np.array(values), (50, 99))
    return float(p50), float(p99)
