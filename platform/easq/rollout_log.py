"""Rollouts as records of topic `models`: who announces them, and which of them holds."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import ValidationError

from easq.announcements import ANNOUNCEMENT, ROLLOUT, Rollout
from easq.log.interface import MODELS, Log, TrimmedError
from easq.log.scan import MAX_ANNOUNCEMENTS

logger = logging.getLogger(__name__)

BLOCK = 256
"""Announcements looked through at once; so many deltas would not fit in memory."""


def announce(log: Log, rollout: Rollout, now_ms: int) -> int:
    """Append the record; returns its offset."""
    row = {
        "kind": ROLLOUT,
        "made_at_ms": now_ms,
        "body": rollout.model_dump_json(exclude_defaults=True),  # older releases read more of it
        "payload": None,
    }
    return int(log.append(MODELS, 0, pa.Table.from_pylist([row], schema=ANNOUNCEMENT))[0])


class Told(NamedTuple):
    """A rollout of the log."""

    seq: int
    """Offset of its first record: a repeat is as old as what it repeats."""
    at: int
    """Offset of this record."""
    made_at_ms: int
    rollout: Rollout
    decided_on: int | None = None


def held(records: Iterable[Told], known: Told | None = None) -> Iterator[Told]:
    """Those of some records, in the order of the log, that came to hold after what is known.

    What was decided before another record came is void, for every reader: whoever decided it may
    have died before it could take it back.
    """
    for told in records:
        is_repeat = told.at != told.seq
        if known is not None:
            is_void = not is_repeat and told.decided_on not in (None, known.seq)
            if is_void or told.seq < known.seq:
                continue
        known = told
        yield told


def newest_rollout(log: Log) -> Rollout | None:
    """The last rollout, read backwards; None: there is none."""
    told = newest_told(log)
    return told and told.rollout


def newest_told(log: Log) -> Told | None:
    """A record that makes another one void, or a repeat old, stands just before it."""
    while True:
        try:
            return _newest_told(log)
        except TrimmedError:  # by retention, after it has repeated what holds
            continue


def _newest_told(log: Log) -> Told | None:
    begin, end = log.begin(MODELS, 0), log.end(MODELS, 0)
    start = end
    while start > begin:
        start = max(start - BLOCK, begin)
        if rollouts(log, start, end):
            return held_from(log, max(start - BLOCK, begin), end)[-1]
        end = start
    return None


def held_from(log: Log, start: int, end: int) -> list[Told]:
    """Those of [start, end) that came to hold, from the one on that their first was decided on:
    what made the first void may stand before it."""
    begin, found = log.begin(MODELS, 0), rollouts(log, start, end)
    on = found[0].decided_on if found else None
    if on is not None and begin <= on < start:
        found = rollouts(log, on, start) + found
    return list(held(found))


def keep_newest(log: Log, before: int) -> None:
    """Announce what holds again if it stands below an offset, which may then be trimmed."""
    while (told := newest_told(log)) is not None and told.at < before:
        repeat = told.rollout.model_copy(update={"repeats": told.seq})
        announce(log, repeat, told.made_at_ms)


class RolloutTail:
    """The newest rollout, followed without reading anything twice."""

    def __init__(self, log: Log) -> None:
        self.log, self.next = log, log.end(MODELS, 0)
        self._told = newest_told(log)

    @property
    def newest(self) -> Rollout | None:
        return self._told and self._told.rollout

    def look(self) -> Rollout | None:
        end = self.log.end(MODELS, 0)
        if self.log.begin(MODELS, 0) > self.next:  # what came meanwhile is gone, but for repeats
            self._told = newest_told(self.log)
        else:
            for told in held(rollouts(self.log, self.next, end), self._told):
                self._told = told
        self.next = end
        return self.newest

    def announce(self, rollout: Rollout, now_ms: int) -> bool:
        """Append what was decided on `newest`; False: another came in between, and holds."""
        known = self._seq
        self.look()
        if self._seq != known:
            return False
        own = announce(self.log, rollout.model_copy(update={"decided_on": known}), now_ms)
        self.look()
        return self._seq == own

    @property
    def _seq(self) -> int:
        """Of the rollout that holds, which its repeats have too."""
        return -1 if self._told is None else self._told.seq


def rollouts(log: Log, start: int, end: int) -> list[Told]:
    """The records in [start, end)."""
    found: list[Told] = []
    while (rows := log.read(MODELS, 0, start, end, MAX_ANNOUNCEMENTS)) is not None:
        start = int(rows.offsets[-1]) + 1
        said = rows.table.select(["kind", "made_at_ms", "body"]).to_pylist()
        places = zip(rows.offsets.tolist(), said, strict=True)
        read = (_readable(at, row) for at, row in places if row["kind"] == ROLLOUT)
        found += [told for told in read if told is not None]
    return found


def _readable(at: int, row: dict[str, Any]) -> Told | None:
    """None for a record of another release: it must not keep replicas from the ones after it."""
    try:
        rollout = Rollout.model_validate_json(row["body"])
    except ValidationError as error:
        logger.warning("a rollout is passed over, it is none that this code reads: %s", error)
        return None
    seq = at if rollout.repeats is None else rollout.repeats
    said = rollout.model_copy(update={"repeats": None, "decided_on": None})
    return Told(seq, at, row["made_at_ms"], said, rollout.decided_on)
