"""Parts of the loop are killed under load: no event is lost, and none is learnt twice."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file

from easq.ledger import AcceptedLine, Ledger, Verdict, read_ledger, read_progress, verdict
from easq.log.connect import open_log
from easq.log.interface import EVENTS, SAMPLES, Log
from easq.log.scan import scan
from easq.train.config import TrainConfig
from easq.train.lines import Lines
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import FAILURES, QUARANTINE, WINDOWS, run_folder
from jobs.living import SPEED, settled
from jobs.loop import is_ready
from jobs.viewer_sessions import Viewers
from jobs.viewer_statistics import ViewingStatistics
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan

from .conftest import Engine

pytestmark = [
    pytest.mark.ray,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

REPLAY = Path(__file__).parents[1] / "easq" / "train" / "replay.py"
REQUESTS = 1500
"""Of the history."""
CAPACITY_SECONDS, QUIET_SECONDS = 8.0, 15.0
RECOVERED_SECONDS, NOTICED_SECONDS = 20.0, 20.0
LONGER = {"all workers": 25.0, "train controller": 30.0}
"""Those of which nothing is left that could go on."""


class Drill(NamedTuple):
    """Who is killed, and under which load."""

    seed: int
    kinds: tuple[str, ...]  # each at least once in a round, in random order
    kills: int
    every_seconds: float  # from kill to kill; later where the loop has not recovered yet
    workers: int
    rate: float | None  # requests a second; None: half of what the service takes
    feedback_seconds: float  # events that a killed replica makes late must still count
    engine: Engine = "sqlite"
    recovers: bool = False  # it is waited for after each kill, and must come in time


SHORT = Drill(1, ("joiner", "worker", "replica"), 3, 4.0, 1, 10.0, 15.0)
KAFKA = SHORT._replace(kinds=("joiner", "worker", "driver", "replica"), kills=4, engine="kafka")
KINDS = ("joiner", "worker", "driver", "replica", "controller")
LONG = Drill(2, KINDS, 8, 15.0, 2, None, 15.0, recovers=True)
GROUP = Drill(4, tuple(LONGER), 2, 15.0, 2, 20.0, 15.0, recovers=True)
FROZEN = Drill(3, ("frozen worker",), 1, 15.0, 2, 20.0, 15.0, recovers=True)


class Kill(NamedTuple):
    kind: str
    at: float  # Unix seconds
    under_way: int  # requests of all viewers, at most
    failed_before: int


class Session(NamedTuple):
    """What was seen of a drill."""

    kills: list[Kill]
    began: float
    ended: float
    rate: float
    viewers: ViewingStatistics
    usual: float  # the lag's p95 before the first kill, in seconds


@pytest.mark.parametrize(
    "drill", [SHORT, KAFKA, FROZEN, GROUP, LONG], ids=["short", "kafka", "frozen", "group", "long"]
)
def test_kills_lose_nothing_and_nothing_is_learnt_twice(drill, stage, tmp_path, capsys):
    with stage(REQUESTS, drill.workers, drill.feedback_seconds, drill.engine) as loop_stage:
        loop, ledger = loop_stage.loop, tmp_path / "viewers.jsonl"
        session = _under_load(drill, loop_stage, ledger)
        fate = settled(loop, ledger)
        with capsys.disabled():
            _tell(drill, session, loop_stage.lag, fate)
        _learn_all(loop_stage)
        if drill is LONG:
            _service_comes_back(loop_stage)
    log, config = open_log(loop.log), loop.config
    assert _failures_beyond(session) == {}
    _check_events(log, ledger)
    _check_checkpoint(log, config)
    _check_replay(config, tmp_path / "replay")
    _check_left_over(loop_stage)
    if drill.recovers:
        found = _recoveries(session, loop_stage.lag)
        if drill is FROZEN:
            _check_noticed(session.kills[0], config)
        assert drill not in (FROZEN, GROUP) or min(s for _, s in found) > 0, (
            "nobody at work was hit"
        )
        assert [r for r in found if r[1] > LONGER.get(r[0], RECOVERED_SECONDS)] == []


def _under_load(drill: Drill, stage, ledger: Path) -> Session:
    rate = drill.rate or _capacity(stage) / 2
    plan = ViewingPlan(seconds=3600, rate=rate, speed=SPEED, patience_seconds=120)
    began = time.time()
    with (
        Ledger(ledger) as book,
        run_viewers(stage.loop.url, stage.history, plan, book, drill.seed) as crowd,
    ):
        _watch(stage, QUIET_SECONDS if drill.recovers else drill.every_seconds)
        if drill in (FROZEN, GROUP):
            stage.wait_until(stage.stands_by)
        usual = float(np.quantile(stage.lag.between(began, time.time()), 0.95))
        kills = list(_kill_in_turn(drill, stage, crowd, usual))
        ended = time.time()
        crowd.ask_no_more()
        stage.wait_until(lambda: crowd.wait(0))
    return Session(kills, began, ended, rate, crowd.statistics(), usual)


def _capacity(stage) -> float:
    """Rankings a second that come with viewers who never wait, and their feedback."""
    plan = ViewingPlan(seconds=CAPACITY_SECONDS, rate=None, speed=SPEED, viewers=8)
    with run_viewers(stage.loop.url, stage.history, plan, seed=99) as crowd:
        stage.wait_until(lambda: crowd.wait(0))
    return crowd.statistics().requests / CAPACITY_SECONDS


def _kill_in_turn(drill: Drill, stage, crowd: Viewers, usual: float) -> Iterator[Kill]:
    """Kills, each once the loop has learnt what came after the one before."""
    chance = random.Random(drill.seed)
    for kind in _order(drill, chance):
        yield (kill := _kill(kind, chance, stage, crowd))
        _watch(stage, drill.every_seconds)
        stage.wait_until(lambda at=kill.at: stage.lag.frontier > at)
        if drill.recovers:
            stage.wait_until(lambda: stage.lag.is_usual(usual))


def _order(drill: Drill, chance: random.Random) -> list[str]:
    rounds = -(-drill.kills // len(drill.kinds))
    order = [kind for _ in range(rounds) for kind in chance.sample(drill.kinds, len(drill.kinds))]
    return order[: drill.kills]


def _kill(kind: str, chance: random.Random, stage, crowd: Viewers) -> Kill:
    before, under_way = _failed(crowd.statistics()), crowd.client.under_way
    at = stage.kill(kind, chance.randrange(100))
    return Kill(kind, at, max(under_way, crowd.client.under_way), before)


def _failed(statistics: ViewingStatistics) -> int:
    """Requests that failed: rankings, and batches of events, which are then sent again."""
    return statistics.not_ranked + statistics.retries + statistics.unconfirmed


def _watch(stage, seconds: float) -> None:
    end = time.monotonic() + seconds
    stage.wait_until(lambda: time.monotonic() > end)


def _learn_all(stage) -> None:
    """Until the joiner has nothing left and the trainer has learnt all of it."""
    log, status = open_log(stage.loop.log), stage.loop.folder / "join.json"

    def joined_all() -> bool:
        [joined] = json.loads(status.read_text())["partitions"].values()
        waits = joined["open_requests"] + joined["unsealed_rows"]
        return not waits and joined["next_offset"] == log.end(EVENTS, 0)

    stage.wait_until(joined_all)
    stage.wait_until(lambda: stage.lag.learnt_below == log.end(SAMPLES, 0))


def _service_comes_back(stage) -> None:
    """On the port that it had, though a proxy outlives it for a moment."""
    [before] = stage.victims("service")
    stage.kill("service", 0)
    stage.wait_until(lambda: stage.victims("service") not in ([], [before]))
    stage.wait_until(lambda: is_ready(stage.loop.url))


def _failures_beyond(session: Session) -> dict[str, int]:
    """Failed requests that no kill excuses.

    A killed replica takes what it has in hand with it.
    """
    beyond = {}
    for kill, failed in _failures(session):
        allowed = kill.under_way if kill.kind == "replica" else 0
        if failed > allowed:
            beyond[f"{kill.kind} at {kill.at - session.began:.0f} s"] = failed
    return beyond


def _failures(session: Session) -> list[tuple[Kill, int]]:
    """Failed requests from each kill to the next."""
    ends = [kill.failed_before for kill in session.kills[1:]] + [_failed(session.viewers)]
    return [(k, end - k.failed_before) for k, end in zip(session.kills, ends, strict=True)]


def _recoveries(session: Session, lag) -> list[tuple[str, float]]:
    """Seconds from each kill until the lag was what it had been."""
    ends = [kill.at for kill in session.kills[1:]] + [session.ended]
    return [
        (kill.kind, lag.recovery(kill.at, end, session.usual))
        for kill, end in zip(session.kills, ends, strict=True)
    ]


def _check_noticed(kill: Kill, config: TrainConfig) -> None:
    """Ray Train tells in time of a worker that stands still."""
    told = Lines(run_folder(config) / FAILURES).new()[0]["failed_at"]
    noticed = datetime.fromisoformat(told).timestamp() - kill.at
    print(json.dumps({"name": "kills", "noticed_seconds": round(noticed, 1)}), flush=True)
    assert noticed < NOTICED_SECONDS


def _accepted(ledger: Path) -> list[str]:
    return [line.event_id for line in read_ledger(ledger) if isinstance(line, AcceptedLine)]


def _check_events(log: Log, ledger: Path) -> None:
    accepted = _accepted(ledger)
    fate = verdict(accepted, [read_progress(log, 0, decided=True)])
    assert (fate.lost, fate.twice, fate.open) == ([], {}, [])
    assert fate.once == len(set(accepted)) > 0


def _checkpoint(config: TrainConfig) -> Path:
    found = newest_checkpoint(run_folder(config))
    assert found is not None
    return found


def _check_checkpoint(log: Log, config: TrainConfig) -> None:
    """It has learnt each window once, to the end of the log."""
    position = read_position(_checkpoint(config))
    tables = [rows.table for rows in scan(log, SAMPLES, 0)]
    windows = {w for table in tables for w in table.column("window").to_pylist()}
    assert position.offsets == {0: log.end(SAMPLES, 0)}
    assert position.requests == REQUESTS + sum(table.num_rows for table in tables)
    assert position.next_window == position.history_windows + len(windows)
    lines = [line["window"] for line in Lines(run_folder(config) / WINDOWS).new()]
    assert lines == list(range(position.next_window))
    assert not (run_folder(config) / QUARANTINE).exists()


def _check_replay(config: TrainConfig, out: Path) -> None:
    """A run that nothing befell has the same weights, bit for bit."""
    checkpoint = _checkpoint(config)
    world, windows = config.workers.num, read_position(checkpoint).next_window
    words = [sys.executable, REPLAY, config.model_dump_json(), out]
    ranks = [subprocess.Popen([*words, *map(str, (rank, world, windows))]) for rank in range(world)]
    assert [process.wait(timeout=400) for process in ranks] == [0] * world
    found, clean = (load_file(d / "weights.safetensors") for d in (checkpoint, out))
    assert found.keys() == clean.keys()
    assert [name for name in clean if not torch.equal(found[name], clean[name])] == []


def _check_left_over(stage) -> None:
    """Of all processes that the loop ever had, none outlives it."""
    deadline = time.monotonic() + 60
    while left := stage.left_over():
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _tell(drill: Drill, session: Session, lag, fate: Verdict) -> None:
    table = Table(
        "killed", "times", "recovery, s", "failed", "under way", title="kill -9 under load"
    )
    recoveries, failures = _recoveries(session, lag), _failures(session)
    kinds = {}
    for kind in drill.kinds:
        seconds = [round(s, 1) for k, s in recoveries if k == kind]
        failed = [n for kill, n in failures if kill.kind == kind]
        under_way = [kill.under_way for kill in session.kills if kill.kind == kind]
        kinds[kind] = {"recovery_seconds": seconds, "failed": failed, "under_way": under_way}
        table.add_row(kind, str(len(seconds)), str(seconds), str(failed), str(under_way))
    s = session.viewers
    Console(soft_wrap=True).print(table)
    record = {
        "name": "kills",
        "seed": drill.seed,
        "seconds": round(session.ended - session.began, 1),
        "rate": round(session.rate, 1),
        "rankings": s.requests,
        "failed": s.failed,
        "batches_sent_again": s.retries,
        "p50_ms": round(s.p50_ms, 1),
        "p99_ms": round(s.p99_ms, 1),
        "events_accepted": sum(s.accepted.values()),
        "rejected": s.rejected,
        "once": fate.once,
        "lost": len(fate.lost),
        "twice": len(fate.twice),
        "usual_lag_p95_seconds": round(session.usual, 2),
        "kinds": kinds,
    }
    print(json.dumps(record), flush=True)
