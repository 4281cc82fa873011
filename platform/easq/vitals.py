"""How the rankings of a version go while it bakes, as replicas tell it in topic `models`."""

from collections import Counter
from collections.abc import Iterable
from math import log2

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from easq.announcements import ANNOUNCEMENT, VITALS
from easq.log.interface import MODELS, Log

BUCKETS_AN_OCTAVE = 4
TIMED = 50
"""Rankings of a version before its latency says anything."""


class Vitals(BaseModel):
    """One version on one replica since a stage of a rollout began; a later record replaces it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    replica: str
    version: int
    ranks_below: int
    """Of the stage."""
    failed: int
    """Requests that the version could not score, or whose scores were not finite."""
    latency: dict[int, int]
    """Requests that it did score, by `bucket` of the time that scoring took."""


def bucket(seconds: float) -> int:
    """Times in one bucket differ by 19 % at most."""
    return int(BUCKETS_AN_OCTAVE * log2(max(1e6 * seconds, 1.0)))


def tell(log: Log, vitals: list[Vitals], now_ms: int) -> None:
    """Raises LogError."""
    rows = [
        {"kind": VITALS, "made_at_ms": now_ms, "body": v.model_dump_json(), "payload": None}
        for v in vitals
    ]
    log.append(MODELS, 0, pa.Table.from_pylist(rows, schema=ANNOUNCEMENT), durable=False)


class VitalsTail:
    """The last record of each replica and version, from the end of the log on."""

    def __init__(self, log: Log) -> None:
        self.log, self.next = log, log.end(MODELS, 0)
        self.newest: dict[tuple[str, int], Vitals] = {}

    def look(self) -> None:
        """Raises LogError."""
        start = max(self.next, self.log.begin(MODELS, 0))
        while (rows := self.log.read(MODELS, 0, start)) is not None:
            start = int(rows.offsets[-1]) + 1
            for row in rows.table.select(["kind", "body"]).to_pylist():
                if row["kind"] == VITALS and (vitals := _readable(row["body"])) is not None:
                    self.newest[vitals.replica, vitals.version] = vitals
        self.next = start

    def of(self, version: int, ranks_below: int | None) -> list[Vitals]:
        """What the replicas say of a version in a stage."""
        return [
            v for v in self.newest.values() if (v.version, v.ranks_below) == (version, ranks_below)
        ]


def median_bucket(all_vitals: Iterable[Vitals]) -> int | None:
    """Of scoring times; None: there are too few."""
    counts = sum((Counter(v.latency) for v in all_vitals), Counter[int]())
    if counts.total() < TIMED:
        return None
    return sorted(counts.elements())[counts.total() // 2]


def latency_ratio(new: list[Vitals], before: list[Vitals]) -> float | None:
    """Of the medians; None: not measured yet."""
    slow, usual = median_bucket(new), median_bucket(before)
    if slow is None or usual is None:
        return None
    return 2 ** ((slow - usual) / BUCKETS_AN_OCTAVE)


def _readable(body: str) -> Vitals | None:
    """None for a record of another release."""
    try:
        return Vitals.model_validate_json(body)
    except ValidationError:
        return None
