"""What is no process of ours fails under load: MLflow, Ray's own processes, the proxy; a rush."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
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
from jobs.viewer_sessions import ViewingPlan
from jobs.viewers import run_viewers

pytestmark = [
    pytest.mark.ray,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

RATE, AWAY_SECONDS, RUSH_SECONDS, QUIET_SECONDS = 10.0, 60.0, 10.0, 5.0
RECOVERED_SECONDS = 60.0
FEEDBACK_SECONDS = 45.0
"""Events that wait for a service that starts again must still count."""
NAME = "easq-ranker"


class Sight(NamedTuple):
    """What viewers saw of a fault."""

    fault: str
    failed: int  # rankings, and batches of events that were sent again
    seconds: float  # until the loop ranks, and has learnt what came after the fault


def test_faults_of_others_lose_nothing_and_hold_nobody_up(stage, tmp_path, capsys):
    with stage(1500, 1, FEEDBACK_SECONDS) as it:
        ledger = tmp_path / "viewers.jsonl"
        plan = ViewingPlan(seconds=3600, rate=RATE, speed=SPEED, patience_seconds=150)
        with (
            Ledger(ledger) as book,
            run_viewers(it.loop.url, it.history, plan, book, seed=1) as crowd,
        ):
            drill = FaultDrill(it, crowd, ledger)
            drill.watch(QUIET_SECONDS)
            told = [drill.mlflow_away()]
            told += [
                drill.killed("proxy", "serving", "haproxy"),
                drill.killed("gcs of training", "train", "gcs_server"),
                drill.killed("raylet of training", "train", "raylet"),
                drill.killed("gcs of serving", "serving", "gcs_server"),
                drill.killed("raylet of serving", "serving", "raylet"),
            ]
            rush = drill.rush(tmp_path / "rush.jsonl")
            crowd.ask_no_more()
            it.wait_until(lambda: crowd.wait(0))
        versions = drill.versions_registered()
        fates = [settled(it, path) for path in (ledger, tmp_path / "rush.jsonl")]
    with capsys.disabled():
        figures = [sight._asdict() for sight in told]
        tallied = [{"once": f.once, "lost": len(f.lost), "twice": len(f.twice)} for f in fates]
        print(json.dumps({"name": "faults", "faults": figures, "rush": rush, "events": tallied}))
    assert [(f.lost, f.twice, f.open) for f in fates] == [([], {}, [])] * 2
    assert versions == sorted(versions), "registered in the order in which they were learnt"
    lines = [line["window"] for line in Lines(run_folder(it.loop.config) / WINDOWS).new()]
    assert lines == list(range(len(lines)))
    assert not (run_folder(it.loop.config) / QUARANTINE).exists()
    assert told[0].failed == 0, "nobody ranks with MLflow"
    assert [sight for sight in told[1:] if sight.seconds > RECOVERED_SECONDS] == []
    assert set(rush["answers"]) <= {"200", "429", "503", "timeout"}


class FaultDrill:
    """Faults one after another, each once the loop has recovered from the one before."""

    def __init__(self, stage: Any, crowd: Any, ledger: Path) -> None:
        self.stage, self.crowd, self.ledger = stage, crowd, ledger
        self.loop, self.run = stage.loop, run_folder(stage.loop.config)

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.stage.wait_until(lambda: time.monotonic() > end)

    def seen(self, fault: str, act: Callable[[], None]) -> Sight:
        before, at = self._failed(), time.time()
        act()
        self.stage.wait_until(lambda: is_ready(self.loop.url))
        self.stage.wait_until(lambda: self.stage.lag.frontier > at)
        seconds = time.time() - at
        self.watch(QUIET_SECONDS)
        return Sight(fault, self._failed() - before, round(seconds, 1))

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

    def rush(self, path: Path) -> dict[str, Any]:
        """Six times what the service takes, for ten seconds, beside the usual viewers."""
        with run_viewers(
            self.loop.url, self.stage.history, ViewingPlan(seconds=5, rate=None, viewers=8), seed=2
        ) as crowd:
            self.stage.wait_until(lambda: crowd.wait(0))
        capacity = crowd.statistics().requests / 5
        plan = ViewingPlan(
            seconds=RUSH_SECONDS, rate=6 * capacity, viewers=600, patience_seconds=90
        )
        before = self._p99(time.time() - QUIET_SECONDS)
        with (
            Ledger(path) as book,
            run_viewers(self.loop.url, self.stage.history, plan, book, seed=3) as many,
        ):
            self.stage.wait_until(lambda: many.wait(0))
        s, ended = many.statistics(), time.time()
        self.watch(QUIET_SECONDS)
        refused = {reason.split()[0]: 0 for reason in s.failed}
        for reason, count in s.failed.items():
            refused[reason.split()[0]] += count
        return {
            "capacity": round(capacity, 1),
            "answers": {"200": s.requests, **refused},
            "p50_ms": round(s.p50_ms, 1),
            "p99_ms": round(s.p99_ms, 1),
            "batches_sent_again": s.retries,
            "unconfirmed": s.unconfirmed,
            "usual_p99_before_ms": before,
            "usual_p99_after_ms": self._p99(ended + 3),
        }

    def versions_registered(self) -> list[int]:
        """The window of each version, in the order of their numbers."""
        found = connect(self.loop.tracking.uri).search_model_versions(f"name = '{NAME}'")
        ordered = sorted(found, key=lambda v: int(v.version))
        return [int(v.tags["easq.window"]) for v in ordered if "easq.window" in v.tags]

    def _p99(self, since: float) -> float:
        ranked = [
            line.milliseconds
            for line in read_ledger(self.ledger)
            if isinstance(line, RankedLine) and line.at_seconds > since
        ]
        return round(float(np.quantile(ranked, 0.99)), 1)

    def _failed(self) -> int:
        s = self.crowd.statistics()
        return sum(s.failed.values()) + s.retries + s.unconfirmed


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
