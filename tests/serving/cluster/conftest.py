"""The service as users start it: a process of its own, Ray Serve, MLflow's registry on SQLite."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

PATIENCE_SECONDS = 180.0
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

    def wait_until_ready(self) -> None:
        connection = self.connect()
        self.wait_until(lambda: connection.ask("/readyz").status == 200)


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
