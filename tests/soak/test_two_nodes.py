"""Training on one Ray node, serving on another, Kafka between them: the loop closes.

Then joiner, a training worker and the replica are killed, one after another, under load.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from easq.free_ports import free_port
from easq.freshness import learnt, places
from easq.freshness_read import answers_freshness
from easq.history import History
from easq.ledger import (
    AcceptedLine,
    Ledger,
    Verdict,
    read_ledger,
    read_progress,
    verdict,
)
from easq.log.connect import open_log
from easq.log.interface import EVENTS, MODELS, SAMPLES, Log
from easq.log.scan import scan
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.train.lines import Lines
from easq.train.run_folder import QUARANTINE, WINDOWS
from jobs.loop import is_ready
from jobs.supervisor import Part, Supervisor
from jobs.viewer_sessions import Viewers
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan

from .two_nodes import PARTITIONS, Cluster, kafka, named, serve_on, two_nodes, wait_for

pytestmark = [
    pytest.mark.ray,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]

SPEED = 1000.0
REPLICA, WORKER = "ServeReplica", "RayTrainWorker"
FEEDBACK_SECONDS = 40
"""Behaviour that waits for a new replica is not late."""
SERVING = {
    "feedback_seconds": FEEDBACK_SECONDS,
    "replicas": 1,
    "viewing_speed": SPEED,
    "ask_share": 0.25,
    "ask_cooldown_seconds": 0,
    "ask_per_day": 100_000,
    "events_per_minute": 100_000,
    "poll_seconds": 0.5,
}


class Running(NamedTuple):
    """The loop on its cluster."""

    cluster: Cluster
    parts: Supervisor
    url: str
    log: Log
    run: Path
    crowd: Viewers
    ledger: Path

    def wait_for(self, fact: Callable[[], object], what: str) -> None:
        """Meanwhile what has ended is started again."""
        wait_for(looking(self.parts, fact), what)

    def wait_until_used(self) -> float:
        """Until a ranking has used samples that are not there yet; the seconds that took."""
        since, ends = time.monotonic(), [self.log.end(SAMPLES, p) for p in range(PARTITIONS)]

        def is_used() -> bool:
            seq = self.crowd.statistics().seq
            rows = self.log.read(MODELS, 0, seq, seq + 1) if seq >= 0 else None
            deltas = [] if rows is None else learnt(rows.offsets, rows.table)
            return any(d.offsets.get(p, 0) > end for d in deltas for p, end in enumerate(ends))

        self.wait_for(is_used, f"a ranking that has used samples from {ends} on")
        return time.monotonic() - since

    def kill(self, what: str, process: int) -> None:
        """Kill, and see the loop close again."""
        os.kill(process, signal.SIGKILL)
        print(f"{what} killed: a ranking used newer samples after {self.wait_until_used():.1f} s")


def looking(parts: Supervisor, fact: Callable[[], object]) -> Callable[[], object]:
    """The fact, asked after a look at the parts."""

    def look() -> object:
        for sentence in parts.look():
            print(sentence)
        return fact()

    return look


@contextmanager
def running(folder: Path, mlflow_uri: str) -> Iterator[Running]:
    history = write_simulation(
        folder / "samples",
        SimulationConfig(
            world=WorldConfig(users=200, items=300, authors=40),
            traffic=TrafficConfig(requests=600, days=2),
        ),
        lambda done: None,
    )
    url, ledger = f"http://127.0.0.1:{free_port()}", folder / "ledger.jsonl"
    with ExitStack() as stack:
        address = stack.enter_context(kafka(folder))
        cluster = stack.enter_context(two_nodes())
        parts = Supervisor(_parts(cluster, folder, history, address, mlflow_uri), folder)
        stack.callback(parts.stop)
        parts.start()
        settings = {"log": address, "tracking_uri": mlflow_uri, "model_name": "easq"}
        settings |= {"cache_dir": f"{folder}/versions", "token_key_file": f"{folder}/token.key"}
        serve_on(cluster, folder, int(url.rpartition(":")[2]), settings | SERVING)
        wait_for(looking(parts, lambda: is_ready(url)), "a version to rank with")
        plan = ViewingPlan(seconds=600, rate=2, speed=SPEED)
        book = stack.enter_context(Ledger(ledger))
        crowd = stack.enter_context(run_viewers(url, history, plan, book))
        log = open_log(address)
        stack.callback(log.close)
        yield Running(cluster, parts, url, log, folder / "runs" / "nodes", crowd, ledger)


def _parts(
    cluster: Cluster, folder: Path, history: History, address: str, mlflow_uri: str
) -> list[Part]:
    config = folder / "nodes.toml"
    config.write_text(f"""
[run]
name = "nodes"
storage = "{folder / "runs"}"
[data]
history = "{history.root}"
window = 300
[model]
width = 16
heads = 2
main = {{ experts = 2, hidden = 16 }}
satisfaction = {{ experts = 1, hidden = 16 }}
[optim]
batch = 64
[workers]
num = 2
max_failures = -1
labels = {{ role = "training" }}
[stream]
log = "{address}"
checkpoint_windows = 10
[tracking]
uri = "{mlflow_uri}"
model_name = "easq"
register_every_minutes = 0.2
""")
    join = ["jobs.join", address, "--feedback-seconds", str(FEEDBACK_SECONDS)]
    return [
        Part("join", join, cluster.environment),
        Part("train", ["jobs.train", str(config)], cluster.environment, patience_seconds=60),
    ]


def settled(running: Running) -> Verdict:
    """What became of the accepted events, once the joiner has decided about all."""
    accepted = [x.event_id for x in read_ledger(running.ledger) if isinstance(x, AcceptedLine)]

    def found() -> Verdict:
        return verdict(accepted, [read_progress(running.log, p) for p in range(PARTITIONS)])

    running.wait_for(lambda: not found().open, "the joiner's last word")
    return found()


def wait_until_learnt(running: Running) -> None:
    """Until the newest delta has all samples that hold events; the broker must have kept them."""
    log = running.log
    assert all(log.begin(t, p) == 0 for t in (EVENTS, SAMPLES) for p in range(PARTITIONS))
    ends = {p: _end_of_events(log, p) for p in range(PARTITIONS)}

    def is_learnt() -> bool:
        deltas = [d for rows in scan(log, MODELS, 0) for d in learnt(rows.offsets, rows.table)]
        return all(deltas[-1].offsets[p] >= end for p, end in ends.items())

    running.wait_for(is_learnt, f"samples learnt up to {ends}")


def _end_of_events(log: Log, partition: int) -> int:
    """Above the last sample that holds an event; windows without samples bring no delta."""
    found = [places(partition, *rows) for rows in scan(log, SAMPLES, partition)]
    return 1 + max(place.offset for part in found for place in part.values())


def test_the_loop_closes_over_two_nodes_and_kafka_and_survives_kills(tmp_path, mlflow_uri):
    with running(tmp_path, mlflow_uri) as loop:
        loop.wait_for(lambda: loop.crowd.statistics().seq >= 3, "deltas that are served")
        training, serving = loop.cluster.training, loop.cluster.serving
        assert (len(named(training, WORKER)), len(named(serving, WORKER))) == (2, 0)
        assert (len(named(training, REPLICA)), len(named(serving, REPLICA))) == (0, 1)

        joiner = loop.parts.parts[0].process
        assert joiner is not None
        loop.kill("joiner", joiner.pid)
        loop.kill("training worker", max(named(training, WORKER)))
        loop.kill("replica", named(serving, REPLICA)[0])
        loop.crowd.stop()
        fate = settled(loop)
        print_report(loop, fate)
        wait_until_learnt(loop)

        assert (fate.lost, fate.twice, fate.open) == ([], {}, [])
        assert fate.once > 100
        windows = [line["window"] for line in Lines(loop.run / WINDOWS).new()]
        assert windows == sorted(set(windows))
        assert not (loop.run / QUARANTINE).exists()
        assert answers_freshness(loop.ledger, loop.log)


def print_report(loop: Running, fate: Verdict) -> None:
    told = loop.crowd.statistics()
    seconds = list(answers_freshness(loop.ledger, loop.log).values())
    p50, p95 = np.quantile(seconds, (0.5, 0.95))
    print(
        f"{told.requests} rankings, failed {told.failed}; accepted {told.accepted}, rejected "
        f"{told.rejected}; {fate.once} events once in the samples; versions {told.versions}, seq "
        f"{told.seq}; freshness of {len(seconds)} answers p50 {p50:.2f} s, p95 {p95:.2f} s"
    )
