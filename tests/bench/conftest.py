"""What benchmarks share: the reference data, processes that measure, and the line they print.

Measured code runs in processes of its own: in this one, shapes are checked at every call.
"""

import http.client
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest

from easq.registry import publish
from jobs.services import service, wait_for

HERE = Path(__file__).parent
REQUESTS = 4 * 4096
PATIENCE_SECONDS = 120


class Blocks(NamedTuple):
    """What was measured and its yardstick, block by block, in alternation."""

    value: list[float]
    yardstick: list[float]

    @property
    def ratios(self) -> np.ndarray:
        return np.array(self.value) / np.array(self.yardstick)


@pytest.fixture(scope="session")
def blocks() -> type[Blocks]:
    return Blocks


Report = Callable[..., None]
Measurer = Callable[..., AbstractContextManager[subprocess.Popen]]


@pytest.fixture
def report(capsys: pytest.CaptureFixture) -> Report:
    """report(name, blocks, unit, yardstick, aim, **more): print the benchmark's line."""
    load = os.getloadavg()[0]

    def line(
        name: str, blocks: Blocks, unit: str, yardstick: str, aim: str, **more: object
    ) -> None:
        ratios = blocks.ratios
        record = {
            "name": name,
            "value": _figure(np.median(blocks.value)),
            "unit": unit,
            "yardstick": yardstick,
            "yardstick_value": _figure(np.median(blocks.yardstick)),
            "ratio": _figure(np.median(ratios)),
            "spread": [_figure(ratios.min()), _figure(ratios.max())],
            "blocks": len(ratios),
            "aim": aim,
            **more,
            "machine": f"{_cpu_name()}, {os.cpu_count()} cores",
            "load_before": round(load, 2),
            "load_after": round(os.getloadavg()[0], 2),
        }
        with capsys.disabled():
            print("\n" + json.dumps(record), flush=True)

    return line


def _figure(value: Any) -> float:
    """Four digits that count."""
    return float(f"{value:.4g}")


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of four windows of 4096 requests."""
    path = tmp_path_factory.mktemp("reference") / "history"
    command = [sys.executable, str(HERE / "reference.py"), str(path), str(REQUESTS)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="session")
def measurer() -> Measurer:
    """measurer(script, *arguments): a process that measures a block for each line it is sent."""

    @contextmanager
    def run(script: str, *arguments: object) -> Iterator[subprocess.Popen]:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=HERE.parents[1])
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
            process.wait()

    return run


@pytest.fixture(scope="session")
def block() -> Callable[[subprocess.Popen, str], dict[str, float]]:
    """block(process, what): have a measurer measure one block."""

    def measure(process: subprocess.Popen, what: str) -> dict[str, float]:
        assert process.stdin is not None
        assert process.stdout is not None
        print(what, file=process.stdin, flush=True)
        return json.loads(process.stdout.readline())

    return measure


class Registry(NamedTuple):
    """One version of the reference size, champion of a registry of its own."""

    uri: str
    version: Path


@pytest.fixture(scope="session")
def http_cost() -> Callable[..., str]:
    """http_cost(*arguments): run http_cost.py to its end; what it printed."""

    def run(*arguments: object) -> str:
        command = [sys.executable, str(HERE / "http_cost.py"), *map(str, arguments)]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    return run


@pytest.fixture
def registry(reference: Path, http_cost: Callable[..., str], tmp_path: Path) -> Registry:
    made = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "version")
    http_cost("version", reference, made.version)
    publish(made.uri, "easq", made.version)
    return made


Serving = Callable[..., AbstractContextManager[str]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    """serving(registry, **settings): the URL of a `python -m serving.up` that is ready."""

    @contextmanager
    def run(registry: Registry, name: str = "serving", **settings: str) -> Iterator[str]:
        state = tmp_path / f"{name}.json"
        environment = {
            "EASQ_TRACKING_URI": registry.uri,
            "EASQ_MODEL_NAME": "easq",
            "EASQ_CACHE_DIR": str(tmp_path / "cache"),
            "EASQ_STATE_FILE": str(state),
            **settings,
        }
        with service(name, ["serving.up"], tmp_path / f"{name}.log", environment) as process:
            url = json.loads(wait_for(state, process, PATIENCE_SECONDS))["url"]
            _wait_until_ready(url)
            yield url

    return run


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _status(url) != http.HTTPStatus.OK:
        assert time.monotonic() < deadline, f"{url} is not ready"
        time.sleep(0.1)


def _status(url: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/readyz")
    return connection.getresponse().status
