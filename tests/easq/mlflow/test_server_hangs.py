"""An MLflow server that is stopped without being gone: connections open, and no answer comes."""

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from easq.free_ports import free_port
from easq.log.sqlite import SqliteLog
from easq.registry import champion
from easq.registry_client import MlflowAwayError, connect
from easq.tracking import start_run
from easq.tracking_follow import RunFollower
from easq.tracking_thread import Tracker
from easq.train.config import TrainConfig
from easq.train.latest import Latest, write_latest
from easq.train.run_folder import waiting_versions
from jobs.gate import keep
from jobs.gatekeeper import Gatekeeper, GatekeeperConfig
from jobs.loop_look import mlflow
from jobs.loop_parts import DRAIN_SECONDS
from jobs.services import service
from jobs.supervisor import Part
from jobs.tracked import tracked

NAME = "easq-ranker"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
GATE_PATIENCE = Part("gate", [], {}).patience_seconds


class Server:
    """A real server; `hang` stops all of its processes, `go_on` continues them."""

    def __init__(self, url: str, session: int) -> None:
        self.url, self.session = url, session

    def hang(self) -> None:
        os.killpg(self.session, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self.session, signal.SIGCONT)


@pytest.fixture(scope="module")
def started(migrated_database: Path, tmp_path_factory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    database = shutil.copy(migrated_database, folder / "mlflow.db")
    words = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{database}", "--workers", "1"]
    words += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1"]
    with service("mlflow", [*words, "--port", str(port)], folder / "mlflow.log", QUIET) as own:
        server = Server(f"http://127.0.0.1:{port}", own.process.pid)
        until(lambda: answers(server.url), 180)
        yield server
        server.go_on()


@pytest.fixture
def server(started: Server) -> Iterator[Server]:
    yield started
    started.go_on()
    until(lambda: answers(started.url))


def until(fact, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        connect(url)
    except MlflowAwayError:
        return False
    return True


def learn(trained) -> None:
    checkpoint, position = trained.learn(), trained.learner.position
    latest = Latest(checkpoint=checkpoint.name, window=position.next_window, step=position.step)
    write_latest(trained.run_dir, latest)


def tracked_by(trained, server: Server) -> TrainConfig:
    tracking = trained.config.tracking.model_copy(
        update={"uri": server.url, "register_every_minutes": 0.0001}
    )
    return trained.config.model_copy(update={"tracking": tracking})


def windows_registered(uri: str) -> list[str]:
    found = connect(uri).search_model_versions(f"name = '{NAME}'")
    return [v.tags["easq.window"] for v in sorted(found, key=lambda v: int(v.version))]


def test_a_server_that_takes_connections_and_says_nothing_is_away():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address, port = silent.getsockname()
        with pytest.raises(MlflowAwayError, match="does not answer"):
            champion(f"http://{address}:{port}", NAME)


@pytest.mark.soak
def test_a_training_drains_while_the_server_hangs_and_versions_follow_in_order(
    trained, server, monkeypatch
):
    monkeypatch.setattr("easq.publisher.POLL_SECONDS", 0.02)
    config = tracked_by(trained, server)
    ended = threading.Event()
    with tracked(config):
        learn(trained)
        until(lambda: windows_registered(server.url) == ["1"])
        until(lambda: not waiting_versions(trained.run_dir))
        server.hang()
        began = time.monotonic()
        for count in (1, 2):
            learn(trained)
            until(lambda n=count: len(waiting_versions(trained.run_dir)) == n, DRAIN_SECONDS)
        told = mlflow(server.url, [trained.run_dir])
        assert told["problem"]
        assert told["waiting"] == 2
        draining = threading.Timer(DRAIN_SECONDS, ended.set)
        draining.start()
    draining.cancel()
    assert not ended.is_set(), "a supervisor would have killed it before it had drained"
    print(f"stopped for {time.monotonic() - began:.1f} s")
    server.go_on()
    until(lambda: answers(server.url))
    with tracked(config):
        learn(trained)
    assert windows_registered(server.url) == ["1", "2", "3", "4"]
    assert mlflow(server.url, [trained.run_dir]) == {"problem": None, "waiting": 0}


@pytest.mark.soak
def test_a_gate_stops_when_told_to_and_a_look_at_the_champion_says_away(server, tmp_path):
    log, cache = SqliteLog(tmp_path / "log.db"), tmp_path / "cache"
    keeper = Gatekeeper(log, server.url, NAME, cache, GatekeeperConfig())
    stopping = threading.Event()
    keeping = threading.Thread(target=keep, args=(keeper, stopping), daemon=True)
    server.hang()
    with pytest.raises(MlflowAwayError):
        champion(server.url, NAME)
    keeping.start()
    time.sleep(1.5)  # it looks every second
    stopping.set()
    keeping.join(GATE_PATIENCE)
    assert not keeping.is_alive()


@pytest.mark.soak
def test_metrics_of_a_training_wait_and_none_is_lost(trained, server):
    config = tracked_by(trained, server)
    run_id = start_run(server.url, "easq", "test", config, trained.history, trained.run_dir)
    tracker = Tracker(server.url, run_id)
    server.hang()
    for window in range(50):
        tracker.log(window, {"step": float(window)})
    until(lambda: tracker.troubled)
    server.go_on()
    until(lambda: not tracker.entries and not tracker.troubled, 120)
    follower = RunFollower(trained.run_dir, tracker)
    follower.close()
    assert tracker.dropped == 0
    steps = [point.step for point in connect(server.url).get_metric_history(run_id, "step")]
    assert sorted(steps) == list(range(50))
