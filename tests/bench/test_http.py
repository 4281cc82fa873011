"""What HTTP costs on top of the forward pass, one client with its connection kept open."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest

from easq.registry import publish
from jobs.services import service, wait_for

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(600)]

PAIRS, SIZES = 7, (100, 500)
PATIENCE_SECONDS = 120
SCRIPT = Path(__file__).with_name("http_cost.py")


class Serving(NamedTuple):
    url: str
    version: Path


def script(*arguments: object) -> str:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.fixture
def serving(reference: Path, tmp_path: Path) -> Iterator[Serving]:
    """`python -m serving.up` with a version of the reference size."""
    version, uri = tmp_path / "version", f"sqlite:///{tmp_path / 'mlflow.db'}"
    script("version", reference, version)
    publish(uri, "easq", version)
    state = tmp_path / "serving.json"
    environment = {
        "EASQ_TRACKING_URI": uri,
        "EASQ_MODEL_NAME": "easq",
        "EASQ_CACHE_DIR": str(tmp_path / "cache"),
        "EASQ_STATE_FILE": str(state),
    }
    with service("serving", ["serving.up"], tmp_path / "serving.log", environment) as process:
        url = json.loads(wait_for(state, process, PATIENCE_SECONDS))["url"]
        wait_until_ready(url)
        yield Serving(url, version)


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while status(url) != http.HTTPStatus.OK:
        assert time.monotonic() < deadline, f"{url} is not ready"
        time.sleep(0.1)


def status(url: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", "/readyz")
    return connection.getresponse().status


def test_http_against_the_forward_pass(serving, blocks, report):
    for line in script("measure", *serving, PAIRS, *SIZES).splitlines():
        taken = json.loads(line)
        over = np.median(np.subtract(taken["rank"], taken["forward"]))
        report(
            f"http_{taken['candidates']}_candidates",
            blocks(taken["rank"], taken["forward"]),
            "ms, p50",
            "ServedRanker.score alone",
            "yardstick + 1.2 ms",
            over_yardstick_ms=round(float(over), 2),
            empty_route_ms=round(float(np.median(taken["nothing"])), 2),
            json_in_and_out_ms=round(float(np.median(taken["translate"])), 2),
        )
