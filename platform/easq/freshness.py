"""How long an accepted event takes to reach a response (design: publishing, "used").

A response has used an event when the deltas behind its (version, seq) have learnt the sample
that holds the event.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.announcements import DELTA, DeltaHead


class Place(NamedTuple):
    """Where the sample of an event stands in topic `samples`."""

    partition: int
    offset: int


class Learnt(NamedTuple):
    """What the served weights have learnt once a delta is applied."""

    seq: int
    offsets: Mapping[int, int]  # of each partition: samples below are learnt


class Response(NamedTuple):
    """When a response came, in seconds, and the last delta in it."""

    seconds: float
    seq: int


def places(partition: int, offsets: np.ndarray, samples: pa.Table) -> dict[str, Place]:
    """The place of each event that some rows of topic `samples` hold; the first one counts."""
    found: dict[str, Place] = {}
    for offset, ids in zip(offsets.tolist(), samples.column("event_ids").to_pylist(), strict=True):
        for event_id in ids:
            found.setdefault(event_id, Place(partition, offset))
    return found


def learnt(offsets: np.ndarray, announcements: pa.Table) -> list[Learnt]:
    """What the deltas among some rows of topic `models` have learnt, in their order."""
    rows = announcements.select(["kind", "body"]).to_pylist()
    return [
        Learnt(seq, DeltaHead.model_validate(json.loads(row["body"])).learnt)
        for seq, row in zip(offsets.tolist(), rows, strict=True)
        if row["kind"] == DELTA
    ]


def freshness(
    accepted: Mapping[str, float],
    where: Mapping[str, Place],
    deltas: list[Learnt],
    responses: Iterable[Response],
) -> dict[str, float]:
    """Seconds from an event's acceptance to the first later response that has used it.

    Events that no response has used yet are left out. `accepted` maps event ids to seconds of
    the same clock as the responses'.
    """
    ordered = sorted(responses)
    times = np.array([r.seconds for r in ordered])
    newest = np.maximum.accumulate(np.array([r.seq for r in ordered], np.int64))
    seconds = {}
    for event_id, since in accepted.items():
        seq = _first_with(where.get(event_id), deltas)
        if seq is None:
            continue
        first = max(np.searchsorted(newest, seq), np.searchsorted(times, since))
        if first < len(times):
            seconds[event_id] = float(times[first] - since)
    return seconds


def _first_with(place: Place | None, deltas: list[Learnt]) -> int | None:
    if place is None:
        return None
    return next((d.seq for d in deltas if d.offsets.get(place.partition, 0) > place.offset), None)
