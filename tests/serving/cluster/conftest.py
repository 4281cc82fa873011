"""The service as users start it: a process of its own, Ray Serve, MLflow's registry on SQLite."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from serving.contract import RankResponse
from serving.front_door import has_haproxy

PATIENCE_SECONDS = 300.0
LISTENING = "0A"  # in /proc/net/tcp
ROOT = Path(__file__).parents[3]


class Answer(NamedTuple):
    status: int
    body: bytes
    replica: str | None


class Connection:
    """One client's connection, kept open."""

    def __init__(self, url: str) -> None:
        self.http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def ask(self, path: str, content: str | None = None) -> Answer:
        """GET, or POST where there is content."""
        headers = {"content-type": "application/json"}
        self.http.request("GET" if content is None else "POST", path, content, headers)
        answer = self.http.getresponse()
        return Answer(answer.status, answer.read(), answer.getheader("x-easq-replica"))


class Service(NamedTuple):
    url: str
    process: subprocess.Popen
    tracking_uri: str
    log_uri: str

    def connect(self) -> Connection:
        return Connection(self.url)

    def wait_until(self, fact: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not fact():
            assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
            time.sleep(0.1)

    def haproxy_addresses(self) -> list[str] | None:
        """Where its HAProxy listens, as /proc/net/tcp writes it; None: it has none here."""
        return haproxy_addresses(self.tracking_uri) if has_haproxy() else None


class Answered(NamedTuple):
    """The number of a request, its answer, and when the one left and the other came."""

    request: int
    left: float
    came: float
    status: int
    body: bytes
    replica: str

    @property
    def ranking(self) -> RankResponse:
        return RankResponse.model_validate_json(self.body)

    @property
    def version(self) -> int:
        return self.weights[0]

    @property
    def weights(self) -> tuple[int, int]:
        """Version and seq; they rise."""
        model = json.loads(self.body)["model"]
        return model["version"], model["seq"]


class Load:
    """Closed-loop clients, one a request."""

    def __init__(self, service: Service, bodies: list[dict]) -> None:
        self.answers, self.stopping = [], threading.Event()
        self.threads = [
            threading.Thread(target=self.run, args=(service.connect(), k, json.dumps(body)))
            for k, body in enumerate(bodies)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, connection: Connection, request: int, body: str) -> None:
        while not self.stopping.is_set():
            left = time.monotonic()
            answer = connection.ask("/v1/rank", body)
            self.answers.append(Answered(request, left, time.monotonic(), *answer))

    def replicas_at(self, weights: tuple[int, int]) -> int:
        """How many have answered with them, lately."""
        answered = [a for a in self.answers[-1000:] if a.status == 200]
        return len({a.replica for a in answered if a.weights == weights})

    def replicas_with(self, version: int) -> int:
        """How many have answered from it."""
        answered = [a for a in list(self.answers) if a.status == 200]
        return len({a.replica for a in answered if a.version == version})

    def replicas_since(self, moment: float) -> set[tuple[int, int]]:
        """Of requests that left since then: each version, and how many replicas have it."""
        recent = [a for a in list(self.answers) if a.left > moment and a.status == 200]
        versions = {a.version for a in recent}
        return {(v, len({a.replica for a in recent if a.version == v})) for v in versions}

    def stop(self) -> list[Answered]:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.answers


@pytest.fixture
def load() -> type[Load]:
    """load(service, bodies): clients that ask until they are stopped."""
    return Load


Serving = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """serving(replicas, poll_seconds): run `python -m serving.up` with an empty registry."""

    @contextmanager
    def run(replicas: int, poll_seconds: float) -> Iterator[Service]:
        tracking_uri, state = f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "serving.json"
        log_uri = f"sqlite:///{tmp_path / 'log.db'}"
        settings = {
            "EASQ_TRACKING_URI": tracking_uri,
            "EASQ_LOG": log_uri,
            "EASQ_MODEL_NAME": "easq",
            "EASQ_CACHE_DIR": str(tmp_path / "cache"),
            "EASQ_STATE_FILE": str(state),
            "EASQ_REPLICAS": str(replicas),
            "EASQ_POLL_SECONDS": str(poll_seconds),
            "EASQ_QUEUE_SECONDS": str(PATIENCE_SECONDS),
        }
        with (tmp_path / "serving.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving.up"],
                cwd=ROOT,
                env=os.environ | settings,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            url = _url(state, process, tmp_path / "serving.log")
            yield Service(url, process, tracking_uri, log_uri)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)

    return run


def _url(state: Path, process: subprocess.Popen, log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not state.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"the service is not up: {log.read_text()}"
        time.sleep(0.1)
    return json.loads(state.read_text())["url"]


def haproxy_addresses(mark: str) -> list[str]:
    """Where the HAProxy with this in its environment listens, as /proc/net/tcp writes it."""
    inodes = {
        str(fd.readlink())
        for process in Path("/proc").glob("[0-9]*")
        if _is_haproxy(process, mark.encode())
        for fd in (process / "fd").iterdir()
    }
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == LISTENING and f"socket:[{row[9]}]" in inodes]


def _is_haproxy(process: Path, mark: bytes) -> bool:
    try:
        if (process / "comm").read_text().strip() != "haproxy":
            return False
        return mark in (process / "environ").read_bytes()
    except OSError:  # it ended meanwhile, or is another user's
        return False
