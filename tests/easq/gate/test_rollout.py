"""Stages of a rollout, its guards, and the record that replicas read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from easq.announcements import ANNOUNCEMENT, DELTA, Rollout
from easq.log.interface import MODELS
from easq.log.sqlite import SqliteLog
from easq.rollout import (
    Observations,
    RolloutConfig,
    first_stage,
    lane_stopped,
    next_stage,
    rolled_back,
)
from easq.rollout_log import RolloutTail, announce, keep_newest, newest_rollout, rollouts
from easq.rollout_watch import compared, seen_of

A_LATER_RELEASES = '{"version": 3, "previous": 2, "share": 0.5, "reason": "passed"}'
CONFIG = RolloutConfig(waves=(1, 2), bake_seconds=10, bake_requests=100, patience_seconds=60)
GOOD = Observations(seconds=10, requests=100, bad=0, score_shift=0.1, spread_ratio=1.1)


def test_a_version_goes_to_the_canary_then_in_waves_then_to_all():
    stage: Rollout | None = first_stage(CONFIG, version=8, previous=7, reason="passed")
    below = []
    while stage is not None:
        below.append(stage.ranks_below)
        assert (stage.version, stage.previous, stage.follow_deltas) == (8, 7, True)
        stage = next_stage(CONFIG, stage, GOOD)
    assert below == [1, 2, None]


def test_the_first_version_goes_to_all_at_once():
    assert first_stage(CONFIG, version=1, previous=None, reason="first").ranks_below is None


@pytest.mark.parametrize("lacking", [{"seconds": 9.9}, {"requests": 99}])
def test_a_stage_bakes_until_time_and_requests_are_there(lacking):
    stage = first_stage(CONFIG, 8, 7, "passed")
    assert next_stage(CONFIG, stage, GOOD._replace(**lacking)) is None


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"seconds": 1.0, "bad": 1}, "1 of 100 requests were refused"),
        ({"seconds": 1.0, "score_shift": -11.0}, "scores moved by -11.00"),
        ({"seconds": 1.0, "spread_ratio": 0.1}, "the spread of scores is 0.1 x"),
        ({"seconds": 1.0, "latency_ratio": 2.5}, "latency is 2.5 x"),
        ({"seconds": 61.0, "requests": 99}, "99 requests in 61 s where 100 were expected"),
    ],
)
def test_a_breach_puts_the_version_before_back_at_once_and_stops_the_lane(seen, words):
    back = next_stage(CONFIG, first_stage(CONFIG, 8, 7, "passed"), GOOD._replace(**seen))
    assert back is not None
    assert (back.version, back.previous, back.ranks_below) == (7, 8, None)
    assert not back.follow_deltas
    assert words in back.reason


def delta() -> pa.Table:
    row = {"kind": DELTA, "made_at_ms": 0, "body": "{}", "payload": b"weights"}
    return pa.Table.from_pylist([row], schema=ANNOUNCEMENT)


def test_the_newest_record_is_found_among_many_deltas(tmp_path: Path):
    log = SqliteLog(tmp_path / "log.db")
    assert newest_rollout(log) is None
    announce(log, first_stage(CONFIG, 8, 7, "passed"), 0)
    back = rolled_back(8, 7, "by hand")
    announce(log, back, 0)
    for _ in range(3):
        log.append(MODELS, 0, pa.concat_tables([delta()] * 200), durable=False)
    assert newest_rollout(log) == back
    tail = RolloutTail(log)
    assert tail.look() == back
    announce(log, following := first_stage(CONFIG, 9, 7, "passed"), 0)
    assert tail.look() == following
    log.trim(MODELS, 0, log.end(MODELS, 0))
    assert tail.look() == following


def test_scores_that_are_not_finite_are_counted_and_left_out_of_the_drift():
    def ranked(scores: list[float]):
        return seen_of(pa.table({"score": pa.array([scores], pa.list_(pa.float32()))}))

    before, new = ranked([0.0, 2.0]), ranked([4.0, 8.0, np.nan])
    seen = compared(new, before, seconds=3.0)
    assert seen == Observations(3.0, requests=1, bad=1, score_shift=5.0, spread_ratio=2.0)
    assert compared(new, ranked([1.0, 1.0]), 3.0).score_shift is None


class Between(SqliteLog):
    """A log in which somebody else is a moment faster, once."""

    faster: Rollout | None = None

    def append(self, topic, partition, rows, durable=True):
        if (rollout := self.faster) is not None:
            self.faster = None
            announce(self, rollout, 0)
        return super().append(topic, partition, rows, durable)


def test_what_was_decided_before_another_record_came_is_not_announced(tmp_path: Path):
    log = SqliteLog(tmp_path / "log.db")
    announce(log, canary := first_stage(CONFIG, 8, 7, "passed"), 0)
    tail, everyone = RolloutTail(log), canary.model_copy(update={"ranks_below": None})
    announce(log, back := rolled_back(8, 7, "by hand"), 0)
    assert not tail.announce(everyone, 0)
    assert tail.newest == newest_rollout(log) == back
    assert tail.announce(following := first_stage(CONFIG, 9, 7, "passed"), 0)
    assert tail.newest == newest_rollout(log) == following


def test_a_record_that_came_in_the_moment_of_announcing_holds(tmp_path: Path):
    log = Between(tmp_path / "log.db")
    announce(log, canary := first_stage(CONFIG, 8, 7, "passed"), 0)
    tail = RolloutTail(log)
    log.faster = rolled_back(8, 7, "by hand")
    assert not tail.announce(canary.model_copy(update={"ranks_below": None}), 0)
    assert tail.newest == newest_rollout(log) == rolled_back(8, 7, "by hand")


class Dying(Between):
    """And whose process is killed just after that."""

    def append(self, topic, partition, rows, durable=True):
        overtaken = self.faster is not None
        offsets = super().append(topic, partition, rows, durable)
        if overtaken:
            raise KeyboardInterrupt
        return offsets


def test_a_rollback_holds_though_the_gate_that_it_overtook_is_killed_at_once(tmp_path: Path):
    log = Dying(tmp_path / "log.db")
    announce(log, canary := first_stage(CONFIG, 8, 7, "passed"), 0)
    gate, replica = RolloutTail(log), RolloutTail(log)
    log.faster = back = rolled_back(8, 7, "by hand")
    with pytest.raises(KeyboardInterrupt):
        gate.announce(canary.model_copy(update={"ranks_below": None}), 0)
    assert log.end(MODELS, 0) == 3, "the gate's own record is in the log, after the rollback"
    assert replica.look() == newest_rollout(log) == RolloutTail(log).newest == back
    keep_newest(log, 3)
    log.trim(MODELS, 0, 3)
    assert replica.look() == newest_rollout(log) == back
    again = RolloutTail(log)
    assert again.announce(following := first_stage(CONFIG, 9, 7, "passed"), 0)
    assert replica.look() == newest_rollout(log) == following


def test_whoever_begins_to_read_between_a_rollback_and_what_it_made_void_finds_the_rollback(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("easq.rollout_log.BLOCK", 4)
    log = SqliteLog(tmp_path / "log.db")
    announce(log, canary := first_stage(CONFIG, 8, 7, "passed"), 0)
    many = pa.concat_tables([delta()] * 20)
    log.append(MODELS, 0, many, durable=False)
    announce(log, back := rolled_back(8, 7, "by hand"), 0)
    announce(log, canary.model_copy(update={"ranks_below": None, "decided_on": 0}), 0)
    for _ in range(12):
        assert newest_rollout(log) == RolloutTail(log).newest == back
        log.append(MODELS, 0, delta(), durable=False)
    announce(log, later := first_stage(CONFIG, 9, 7, "passed", "by hand"), 0)
    assert RolloutTail(log).announce(wider := later.model_copy(update={"ranks_below": 2}), 0)
    for _ in range(12):
        assert newest_rollout(log) == RolloutTail(log).newest == wider
        log.append(MODELS, 0, delta(), durable=False)


def test_a_replica_that_missed_what_was_trimmed_finds_what_holds(tmp_path: Path):
    log = SqliteLog(tmp_path / "log.db")
    announce(log, first_stage(CONFIG, 7, None, "first"), 0)
    replica, gate = RolloutTail(log), RolloutTail(log)
    assert gate.announce(canary := first_stage(CONFIG, 8, 7, "passed"), 0)
    unseen = log.end(MODELS, 0)
    assert gate.announce(wider := canary.model_copy(update={"ranks_below": 2}), 0)
    log.trim(MODELS, 0, unseen)
    assert replica.look() == RolloutTail(log).newest == wider


def test_a_repeat_in_the_moment_of_announcing_is_no_news(tmp_path: Path):
    log = Between(tmp_path / "log.db")
    announce(log, canary := first_stage(CONFIG, 8, 7, "passed"), 0)
    tail = RolloutTail(log)
    log.faster = canary.model_copy(update={"repeats": 0})
    assert tail.announce(wider := canary.model_copy(update={"ranks_below": 2}), 0)
    assert tail.newest == newest_rollout(log) == wider


def test_who_waits_for_its_wave_keeps_the_reason_why_the_lane_is_stopped():
    assert lane_stopped(None) is None
    assert lane_stopped(rolled_back(8, 7, "breach")) == "breach"
    stage: Rollout | None = first_stage(CONFIG, 9, 7, "passed", stopped="breach")
    assert lane_stopped(stage) == "breach"
    while (wider := next_stage(CONFIG, stage, GOOD)) is not None:
        stage = wider
    assert lane_stopped(stage) is None


def test_a_record_that_cannot_be_read_is_passed_over(tmp_path: Path, caplog):
    log = SqliteLog(tmp_path / "log.db")
    tail = RolloutTail(log)
    row = {"kind": "rollout", "made_at_ms": 0, "body": A_LATER_RELEASES, "payload": None}
    log.append(MODELS, 0, pa.Table.from_pylist([row], schema=ANNOUNCEMENT))
    assert tail.look() is None
    assert "is passed over" in caplog.text
    back = rolled_back(2, 1, "by hand")
    announce(log, back, 0)
    assert tail.look() == RolloutTail(log).newest == back


def test_a_rollout_that_is_told_again_stays_older_than_what_came_meanwhile(tmp_path: Path):
    log = SqliteLog(tmp_path / "log.db")
    announce(log, canary := first_stage(CONFIG, 8, 7, "passed"), 5)
    log.append(MODELS, 0, pa.concat_tables([delta()] * 10), durable=False)
    tail, end = RolloutTail(log), log.end(MODELS, 0)
    announce(log, back := rolled_back(8, 7, "by hand"), 6)
    announce(log, canary.model_copy(update={"repeats": 0}), 5)  # by who has not seen it
    assert newest_rollout(log) == tail.look() == back
    keep_newest(log, end + 1)
    log.trim(MODELS, 0, end + 1)
    assert newest_rollout(log) == tail.look() == RolloutTail(log).newest == back
    assert [(told.seq, told.made_at_ms) for told in rollouts(log, end + 2, end + 9)] == [(end, 6)]
    keep_newest(log, end + 2)
    assert log.end(MODELS, 0) == end + 3, "it stands where it is kept"
