"""From a gated version to all replicas in stages, and back when a guard is breached (design §8).

Decisions are pure; what reads and writes topic `models` takes the log.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from easq.announcements import ANNOUNCEMENT, ROLLOUT, Rollout
from easq.log.interface import MODELS, Log, TrimmedError

logger = logging.getLogger(__name__)

BLOCK = 256
"""Announcements read at once; deltas among them are large."""


class RolloutConfig(BaseModel):
    """Stages, how long each bakes, and what ends the rollout."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    waves: tuple[int, ...] = (1, 2, 4)
    """Replicas of lower rank take the version: first the canary, then more, at last all."""
    bake_seconds: float = Field(default=20.0, ge=0)
    bake_requests: int = Field(default=100, ge=0)
    """A stage lasts at least so long and until the version has ranked so many requests in it."""
    patience_seconds: float = Field(default=300.0, gt=0)
    """A stage without those requests by then is a breach: the canary does not serve."""
    bad_share: float = Field(default=0.001, ge=0, le=1)
    """Of requests whose scores are not finite, or that are refused."""
    score_shift: float = Field(default=10.0, gt=0)
    """Of the mean score, in standard deviations; pair losses leave the level open."""
    spread_ratio: float = Field(default=5.0, gt=1)
    """Of the scores' standard deviation, either way."""
    latency_ratio: float = Field(default=2.0, gt=1)
    stop_when_blocked: bool = True
    """A blocked version takes all replicas to the champion as it was published; its training's
    deltas wait for the next version that passes. False: they are served on, judged or not."""


class Observations(NamedTuple):
    """What the new version did in a stage, beside the previous one at the same time."""

    seconds: float
    requests: int  # ranked by the new version
    bad: int  # of them not finite or refused
    score_shift: float | None = None  # None: not measured
    spread_ratio: float | None = None
    latency_ratio: float | None = None


def first_stage(
    config: RolloutConfig,
    version: int,
    previous: int | None,
    reason: str,
    stopped: str | None = None,
) -> Rollout:
    """The canary; a version that has nothing before it goes to all at once.

    `stopped`: why the lane is, which it stays for who waits.
    """
    canary = config.waves[0] if previous is not None and config.waves else None
    return Rollout(
        version=version, previous=previous, ranks_below=canary, reason=reason, stopped=stopped
    )


def next_stage(config: RolloutConfig, stage: Rollout, seen: Observations) -> Rollout | None:
    """The next wave, the way back, or None: the stage bakes on (or is the last)."""
    if stage.ranks_below is None or stage.previous is None:
        return None
    if (breach := _breach(config, seen)) is not None:
        return rolled_back(stage.version, stage.previous, breach)
    if seen.seconds < config.bake_seconds or seen.requests < config.bake_requests:
        return None
    wider = next((wave for wave in config.waves if wave > stage.ranks_below), None)
    return last_stage(stage) if wider is None else stage.model_copy(update={"ranks_below": wider})


def last_stage(stage: Rollout) -> Rollout:
    """All replicas; nobody waits for a wave any more."""
    return stage.model_copy(update={"ranks_below": None, "stopped": None})


def rolled_back(version: int, to: int, reason: str) -> Rollout:
    """All replicas serve `to` as it was published; deltas wait for the next gated version."""
    return Rollout(
        version=to, previous=version, ranks_below=None, follow_deltas=False, reason=reason
    )


def lane_stopped(newest: Rollout | None) -> str | None:
    """Why replicas that no wave has reached serve without deltas; None: they follow them."""
    if newest is None:
        return None
    if newest.ranks_below is not None:
        return newest.stopped
    return None if newest.follow_deltas else newest.reason


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
    while end > begin:
        start = max(end - BLOCK, begin)
        if found := rollouts(log, start, end):
            return list(held(rollouts(log, max(start - BLOCK, begin), start) + found))[-1]
        end = start
    return None


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
        start, end = max(self.next, self.log.begin(MODELS, 0)), self.log.end(MODELS, 0)
        for told in held(rollouts(self.log, start, end), self._told):
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
    while (rows := log.read(MODELS, 0, start, end)) is not None:
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


def _breach(config: RolloutConfig, seen: Observations) -> str | None:
    """Which guard was breached, in a sentence."""
    if seen.bad > config.bad_share * seen.requests:
        return f"{seen.bad} of {seen.requests} requests were refused or had scores not finite"
    if seen.score_shift is not None and abs(seen.score_shift) > config.score_shift:
        return f"scores moved by {seen.score_shift:+.2f} standard deviations"
    for name, ratio, limit in (
        ("the spread of scores", seen.spread_ratio, config.spread_ratio),
        ("latency", seen.latency_ratio, config.latency_ratio),
    ):
        low = 1 / limit if name != "latency" else 0.0
        if ratio is not None and not low <= ratio <= limit:
            return f"{name} is {ratio:.3g} x that of the version before; at most {limit:g} x"
    if seen.seconds > config.patience_seconds and seen.requests < config.bake_requests:
        return (
            f"it ranked {seen.requests} requests in {seen.seconds:.0f} s where "
            f"{config.bake_requests} were expected"
        )
    return None
