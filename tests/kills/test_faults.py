"""What is no process of ours fails under load: MLflow, Ray's own processes, the proxy; a rush."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from easq.ledger import (
    AcceptedLine,
    Ledger,
    RankedLine,
    Verdict,
    read_ledger,
    read_progress,
    verdict,
)
from easq.log.connect import open_log
from easq.registry_client import connect
from easq.train.lines import Lines
from easq.train.run_folder import QUARANTINE, WINDOWS, run_folder, waiting_versions
from jobs.living import SPEED
from jobs.loop import is_ready
from jobs.session import members
from jobs.viewer_statistics import ViewingStatistics
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan

pytestmark = [
    pytest.mark.ray,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

RATE, AWAY_SECONDS, RUSH_SECONDS, QUIET_SECONDS = 10.0, 60.0, 20.0, 5.0
RUSH, CAPACITY_SECONDS, CALM_SECONDS = 3.0, 10.0, 3.0
ANSWERED_MS, GOODPUT = 2000.0, 0.8
SLOW_MS = 1000.0
RECOVERED_SECONDS = 60.0
CROWD = Path(__file__).with_name("crowd.py")
FEEDBACK_SECONDS = 45.0
"""Events that wait for a service that starts again must still count."""
NAME = "easq-ranker"


class Rush(NamedTuple):
    """What became of more requests than the service can answer; rates a second, of all viewers."""

    capacity: float  # the usual viewers, and eight who ask as soon as they are answered
    seconds: float  # that the rush took: it waits where its own process has too much to do
    offered: float
    answered: float
    refused: float  # share, of the rush alone as all below
    failed: dict[str, int]
    batches_sent_again: int  # of events
    crowd_cores: float  # that the rush's own process took from the service's
    p50_ms: float  # of those answered
    p99_ms: float
    usual_p99_ms: list[float]  # of the usual viewers before, during and after it


class Sight(NamedTuple):
    """What viewers saw of a fault."""

    fault: str
    failed: int  # rankings, and batches of events that were sent again
    seconds: float  # until the loop ranks, and has learnt what came after the fault


KILLED = (
    ("proxy", "serving", "haproxy"),
    ("gcs of training", "ray", "gcs_server"),
    ("raylet of training", "ray", "raylet"),
    ("gcs of serving", "serving", "gcs_server"),
    ("raylet of serving", "serving", "raylet"),
)


def test_faults_of_others_lose_nothing_and_hold_nobody_up(stage, tmp_path, capsys):
    with stage(1500, 1, FEEDBACK_SECONDS) as it:
        with under_load(it, tmp_path / "viewers.jsonl", capsys) as drill:
            away = drill.mlflow_away()
            told = [drill.killed(*killed) for killed in KILLED]
        check_events(it, tmp_path / "viewers.jsonl", capsys)
        versions = drill.versions_registered()
    assert away.failed == 0, "nobody ranks with MLflow"
    assert versions == sorted(versions), "registered in the order in which they were learnt"
    assert [sight for sight in told if sight.seconds > RECOVERED_SECONDS] == []


def test_in_a_rush_the_service_answers_what_it_can_in_time_and_refuses_the_rest(
    stage, tmp_path, capsys
):
    with stage(1500, 1, FEEDBACK_SECONDS) as it:
        with under_load(it, tmp_path / "viewers.jsonl", capsys) as drill:
            rush = drill.rush(tmp_path / "rush.jsonl")
        for ledger in ("viewers.jsonl", "rush.jsonl"):
            check_events(it, tmp_path / ledger, capsys)
    assert rush.refused > 0
    assert rush.failed == {}, "who is not answered is told to come again"
    assert rush.answered > GOODPUT * rush.capacity
    assert rush.p99_ms < ANSWERED_MS


def test_a_replica_that_hangs_fails_nobody_and_is_replaced(stage, tmp_path, capsys):
    with stage(1500, 1, FEEDBACK_SECONDS) as it:
        with under_load(it, tmp_path / "viewers.jsonl", capsys) as drill:
            hung = drill.replica_hangs()
        check_events(it, tmp_path / "viewers.jsonl", capsys)
    assert hung.failed == 0
    assert hung.seconds < RECOVERED_SECONDS


@contextmanager
def under_load(stage: Any, ledger: Path, capsys: Any) -> Iterator["FaultDrill"]:
    """Viewers, before, during and after what the block does."""
    plan = ViewingPlan(seconds=3600, rate=RATE, speed=SPEED, patience_seconds=150)
    with (
        Ledger(ledger) as book,
        run_viewers(stage.loop.url, stage.history, plan, book, seed=1) as crowd,
    ):
        drill = FaultDrill(stage, crowd, ledger, capsys)
        drill.watch(QUIET_SECONDS)
        yield drill
        crowd.ask_no_more()
        stage.wait_until(lambda: crowd.wait(0))


def check_events(stage: Any, ledger: Path, capsys: Any) -> None:
    """Each accepted event is in the samples once, and each window was learnt once."""
    fate = settled(stage, ledger)
    figures = {"once": fate.once, "lost": len(fate.lost), "twice": len(fate.twice)}
    tell(capsys, {"ledger": ledger.name, **figures, "open": len(fate.open)})
    assert (fate.lost, fate.twice, fate.open) == ([], {}, [])
    run = run_folder(stage.loop.config)
    lines = [line["window"] for line in Lines(run / WINDOWS).new()]
    assert lines == list(range(len(lines)))
    assert not (run / QUARANTINE).exists()


def tell(capsys: Any, figures: dict[str, Any]) -> None:
    with capsys.disabled():
        print(json.dumps({"name": "faults"} | figures), flush=True)


class FaultDrill:
    """Faults one after another, each once the loop has recovered from the one before."""

    def __init__(self, stage: Any, crowd: Any, ledger: Path, capsys: Any) -> None:
        self.stage, self.crowd, self.ledger, self.capsys = stage, crowd, ledger, capsys
        self.loop, self.run = stage.loop, run_folder(stage.loop.config)

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.stage.wait_until(lambda: time.monotonic() > end)

    def seen(self, fault: str, act: Callable[[], None]) -> Sight:
        before, at = self.failed(), time.time()
        act()
        self.stage.wait_until(lambda: is_ready(self.loop.url))
        self.stage.wait_until(lambda: self.stage.lag.frontier > at)
        seconds = time.time() - at
        self.watch(QUIET_SECONDS)
        sight = Sight(fault, self.failed() - before, round(seconds, 1))
        tell(self.capsys, sight._asdict())
        return sight

    def mlflow_away(self) -> Sight:
        """Its database is locked for a minute: training and ranking do not wait for it."""
        learnt = self.stage.lag.learnt_below

        def lock() -> None:
            path = self.loop.tracking.uri.removeprefix("sqlite:///")
            with closing(sqlite3.connect(path, 60.0, isolation_level=None)) as database:
                database.execute("BEGIN EXCLUSIVE")
                self.watch(AWAY_SECONDS)
                assert self.stage.lag.learnt_below > learnt
                assert waiting_versions(self.run), "a version was due meanwhile"

        sight = self.seen("MLflow locked for a minute", lock)
        self.stage.wait_until(lambda: not waiting_versions(self.run))
        return sight

    def killed(self, fault: str, part: str, name: str) -> Sight:
        def kill() -> None:
            leader = self.loop.supervisor.report()[part]["pid"]
            assert isinstance(leader, int)
            victims = [pid for pid in members(leader) if _name(pid) == name]
            assert victims, f"{part} has no {name}"
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            if name != "haproxy":  # the watch of its driver ends the part, and it starts again
                self.stage.wait_until(lambda: self.loop.supervisor.report()[part]["pid"] != leader)
                self.stage.wait_until(lambda: self.loop.supervisor.report()[part]["pid"])

        return self.seen(fault, kill)

    def replica_hangs(self) -> Sight:
        """It is stopped, and answers nobody, until Serve has killed it."""
        began = time.time()

        def hang() -> None:
            victim = self.stage.victims("replica")[0]
            os.kill(victim.pid, signal.SIGSTOP)
            self.stage.wait_until(lambda: not victim.is_alive())

        sight = self.seen("a replica hangs", hang)
        tell(self.capsys, self._waits(began, time.time()))
        return sight

    def _waits(self, since: float, until: float) -> dict[str, Any]:
        """Of rankings that were in hand when a replica hung, in ms, and when the last one began."""
        lines = [x for x in _rankings(self.ledger) if since <= x.at_seconds <= until]
        slow = [x for x in lines if x.milliseconds > SLOW_MS]
        began = [x.at_seconds - x.milliseconds / 1000 - since for x in slow]
        return {
            "rankings": len(lines),
            "slow": len(slow),
            "longest_ms": round(max((x.milliseconds for x in lines), default=0.0)),
            "last_slow_began": round(max(began, default=0.0), 1),
        }

    def rush(self, path: Path) -> Rush:
        """Three times what the service can do is asked for beside the usual, whatever it says."""
        self.stage.wait_until(self.stage.stands_by)
        before = self._usual(time.time() - QUIET_SECONDS, time.time())
        alone = self._crowd(path.with_suffix(".alone"), CAPACITY_SECONDS, None, 8)
        self.watch(QUIET_SECONDS)
        capacity = RATE + alone.requests / CAPACITY_SECONDS
        used = _cpu_seconds()
        s = self._crowd(path, RUSH_SECONDS, RUSH * capacity, 1000)
        used = _cpu_seconds() - used
        came = [line.at_seconds for line in _rankings(path)]
        during = self._usual(min(came), max(came))
        calm = max(came) + CALM_SECONDS
        self.watch(calm + QUIET_SECONDS - time.time())
        after = self._usual(calm, time.time())
        seconds, asked = RUSH_SECONDS + s.behind_seconds, s.requests + s.not_ranked
        seen = Rush(
            capacity=capacity,
            seconds=round(seconds, 1),
            offered=round(RATE + asked / seconds, 1),
            answered=round((len(during) + s.requests) / seconds, 1),
            refused=round(s.refused / asked, 3),
            failed=s.failed,
            batches_sent_again=s.retries,
            crowd_cores=round(used / seconds, 2),
            p50_ms=round(s.p50_ms, 1),
            p99_ms=round(s.p99_ms, 1),
            usual_p99_ms=[_p99(x) for x in (before, during, after)],
        )
        tell(self.capsys, seen._asdict())
        return seen

    def _crowd(
        self, ledger: Path, seconds: float, rate: float | None, viewers: int
    ) -> ViewingStatistics:
        """What further viewers saw; without a rate, each asks when it is answered."""
        plan = ViewingPlan(seconds=seconds, rate=rate, viewers=viewers, patience_seconds=90)
        words = [self.loop.url, self.stage.history.root, plan.model_dump_json(), ledger]
        command = [sys.executable, str(CROWD), *map(str, words)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
            self.stage.wait_until(lambda: crowd.poll() is not None)
            assert crowd.stdout is not None
            return ViewingStatistics(**json.loads(crowd.stdout.read()))

    def versions_registered(self) -> list[int]:
        """The window of each version, in the order of their numbers."""
        found = connect(self.loop.tracking.uri).search_model_versions(f"name = '{NAME}'")
        ordered = sorted(found, key=lambda v: int(v.version))
        return [int(v.tags["easq.window"]) for v in ordered if "easq.window" in v.tags]

    def _usual(self, since: float, until: float) -> list[float]:
        """What the rankings of the usual viewers took, in ms."""
        lines = [x for x in _rankings(self.ledger) if since <= x.at_seconds <= until]
        return [line.milliseconds for line in lines]

    def failed(self) -> int:
        s = self.crowd.statistics()
        return s.not_ranked + s.retries + s.unconfirmed


def _cpu_seconds() -> float:
    """Of child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _p99(values: list[float]) -> float:
    return round(float(np.quantile(values, 0.99)), 1)


def _rankings(ledger: Path) -> list[RankedLine]:
    return [line for line in read_ledger(ledger) if isinstance(line, RankedLine)]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def settled(stage: Any, path: Path) -> Verdict:
    """What became of the accepted events, once the joiner has had its time with the last ones."""
    log = open_log(stage.loop.log)
    accepted = [x.event_id for x in read_ledger(path) if isinstance(x, AcceptedLine)]
    fate = verdict(accepted, [read_progress(log, 0)])
    end = time.monotonic() + 2 * FEEDBACK_SECONDS
    while fate.open and time.monotonic() < end:
        stage.look()
        time.sleep(1)
        fate = verdict(accepted, [read_progress(log, 0)])
    return fate
