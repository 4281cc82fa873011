"""A hundred refreshes at 1 Hz under load, beside blocks of the same run without any.

Reference: 10^6 rows of 64 numbers, 100 candidates a request, half of the measured capacity.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from easq.artefact import VersionFile
from easq.as_served import as_served
from easq.log.interface import MODELS
from easq.log.scan import scan
from easq.log.sqlite import SqliteLog
from easq.registry import publish
from easq.samples import flatten
from jobs.loop import is_ready
from jobs.ranking_client import rank_request
from jobs.services import service, wait_for

pytestmark = [pytest.mark.soak, pytest.mark.ray, pytest.mark.timeout(1200)]

HERE = Path(__file__).parent
REFRESHES, EVERY = 100, 25
"""Deltas; and every so many of them, a full version on top."""
BLOCK = 5
"""Refreshes of a block, one a second."""
SAMPLES = 1000
PATIENCE_SECONDS = 120.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make_refreshes.py writes."""
    out = tmp_path_factory.mktemp("refreshes")
    command = [sys.executable, str(HERE / "make_refreshes.py"), str(out)]
    path = os.pathsep.join([str(HERE.parent / "bench"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run([*command, str(REFRESHES), str(EVERY)], env=environment, check=True)
    return out


@pytest.mark.parametrize("replicas", [2, 1])
def test_a_hundred_refreshes_a_second_apart(made, tmp_path, replicas, capsys):
    log, registry = SqliteLog(tmp_path / "log.db"), f"sqlite:///{tmp_path / 'mlflow.db'}"
    requests = _requests(made, tmp_path)
    versions = {publish(registry, "easq", made / "version-0").version: made / "version-0"}
    with _serving(tmp_path, registry, replicas) as url:
        with _load(url, requests, tmp_path / "load.jsonl") as rate:
            blocks = list(_blocks(made, log, registry, versions))
    answers = _answers(tmp_path / "load.jsonl")
    with capsys.disabled():
        print("\n" + json.dumps(_figures(answers, blocks, replicas, rate)), flush=True)

    assert [a for a in answers if a["status"] != 200] == []
    assert len({a["replica"] for a in answers}) == replicas
    assert {seq for _, seq in _weights(answers)} >= set(range(REFRESHES))
    assert {version for version, _ in _weights(answers)} == set(versions)
    sampled = [a for a in answers if "score" in a]
    assert len(sampled) >= SAMPLES
    assert _mixed(sampled, versions, log, made) == []


def _requests(made: Path, folder: Path) -> Path:
    """Bodies of requests, one a line."""
    file = VersionFile.model_validate_json((made / "version-0" / "version.json").read_text())
    bodies = [
        json.dumps(rank_request(file.features, row) | {"request_id": None, "top_k": 10})
        for row in _asked(made).to_pylist()
    ]
    (folder / "requests.jsonl").write_text("\n".join(bodies))
    return folder / "requests.jsonl"


def _asked(made: Path) -> pa.Table:
    with pa.OSFile(str(made / "requests.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


@contextmanager
def _serving(folder: Path, registry: str, replicas: int) -> Iterator[str]:
    """The URL of a service that is ready on every replica."""
    state = folder / "serving.json"
    environment = {
        "EASQ_TRACKING_URI": registry,
        "EASQ_MODEL_NAME": "easq",
        "EASQ_CACHE_DIR": str(folder / "cache"),
        "EASQ_STATE_FILE": str(state),
        "EASQ_LOG": f"sqlite:///{folder / 'log.db'}",
        "EASQ_TOKEN_KEY_FILE": str(folder / "token.key"),
        "EASQ_REPLICAS": str(replicas),
        "EASQ_POLL_SECONDS": "1",
    }
    with service("serving", ["serving.up"], folder / "serving.log", environment) as process:
        url = json.loads(wait_for(state, process, PATIENCE_SECONDS))["url"]
        deadline = time.monotonic() + PATIENCE_SECONDS
        in_turn = 0
        while in_turn < 20 * replicas:  # a replica without a version would be asked by then
            in_turn = in_turn + 1 if is_ready(url) else 0
            assert time.monotonic() < deadline, f"{url} is not ready"
            time.sleep(0.02)
        yield url


@contextmanager
def _load(url: str, requests: Path, out: Path) -> Iterator[float]:
    """Requests a second, while the block lasts."""
    command = [sys.executable, str(HERE / "steady_load.py"), url, str(requests), str(out)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["rate"]
    assert process.returncode == 0


class Block(NamedTuple):
    """Unix seconds from and to, and what was refreshed in it."""

    start: float
    end: float
    kind: str  # deltas, with_version (deltas and a full version), retrained, nothing


def _blocks(
    made: Path, log: SqliteLog, registry: str, versions: dict[int, Path]
) -> Iterator[Block]:
    """Refresh at 1 Hz in every other block."""
    deltas = _deltas(made)
    clock = time.time()

    def tick() -> None:
        nonlocal clock
        clock += 1.0
        time.sleep(max(clock - time.time(), 0.0))

    def put(name: str) -> None:
        versions[publish(registry, "easq", made / name).version] = made / name

    def quiet() -> Block:
        start = clock
        for _ in range(BLOCK):
            tick()
        return Block(start, clock, "nothing")

    yield quiet()
    for first in range(0, REFRESHES, BLOCK):
        start, kind = clock, "deltas"
        for k in range(first, first + BLOCK):
            log.append(MODELS, 0, next(deltas), durable=False)
            if k > 0 and k % EVERY == 0:
                put(f"version-{k}")
                kind = "with_version"
            tick()
        yield Block(start, clock, kind)
        yield quiet()
    start = clock
    put("retrained")
    for _ in range(2 * BLOCK):
        tick()
    yield Block(start, clock, "retrained")


def _deltas(made: Path) -> Iterator[pa.Table]:
    for rows in scan(SqliteLog(made / "deltas.db"), MODELS, 0):
        for k in range(rows.table.num_rows):
            yield rows.table.slice(k, 1)


def _answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _weights(answers: list[dict[str, Any]]) -> set[tuple[int, int]]:
    return {(a["version"], a["seq"]) for a in answers if a["status"] == 200}


def _mixed(
    sampled: list[dict[str, Any]], versions: dict[int, Path], log: SqliteLog, made: Path
) -> list[dict[str, Any]]:
    """Responses whose scores are not those of their version and seq, computed here anew."""
    asked, wrong = _asked(made), []
    of = {
        weights: [a for a in sampled if (a["version"], a["seq"]) == weights]
        for weights in _weights(sampled)
    }
    for version, group in itertools.groupby(sorted(of), key=lambda weights: weights[0]):
        for seq, ranker in as_served(versions[version], log, [s for _, s in group]):
            for answer in of[version, seq]:
                columns = flatten(asked.slice(answer["request"], 1)).columns
                scores = ranker.score(columns)
                best = np.argsort(-scores, kind="stable")[:10]
                fits = np.allclose(scores[best], answer["score"], rtol=0, atol=1e-6)
                if not fits or columns.item["item_id"][best].tolist() != answer["item_id"]:
                    wrong.append(answer)
    return wrong


def _figures(
    answers: list[dict[str, Any]], blocks: list[Block], replicas: int, rate: float
) -> dict[str, Any]:
    due = np.array([a["due"] for a in answers])
    ms = 1000 * (np.array([a["came"] for a in answers]) - due)

    def of(kinds: set[str]) -> list[np.ndarray]:
        return [ms[(due >= b.start) & (due < b.end)] for b in blocks if b.kind in kinds]

    def p99(parts: list[np.ndarray]) -> dict[str, Any]:
        each = [float(np.quantile(part, 0.99)) for part in parts]
        pooled = np.concatenate(parts)
        p50, p99 = (round(float(np.quantile(pooled, q)), 1) for q in (0.5, 0.99))
        quartiles = np.quantile(each, (0, 0.25, 0.5, 0.75, 1)).round(1).tolist()
        return {"p50_ms": p50, "p99_ms": p99, "blocks_p99_ms": quartiles, "blocks": len(each)}

    with_, without = p99(of({"deltas", "with_version"})), p99(of({"nothing"}))
    return {
        "name": f"refresh_under_load_{replicas}_replicas",
        "value": round(with_["p99_ms"] / without["p99_ms"], 3),
        "unit": "p99 with refreshes / p99 without",
        "median_of_block_p99s": round(with_["blocks_p99_ms"][2] / without["blocks_p99_ms"][2], 3),
        "aim": "<= 1.2",
        "with": with_,
        "without": without,
        "deltas_alone": p99(of({"deltas"})),
        "blocks_with_a_full_version": p99(of({"with_version"})),
        "another_copy_on_air": p99(of({"retrained"})),
        "requests": len(answers),
        "failed": sum(a["status"] != 200 for a in answers),
        "sampled": sum("score" in a for a in answers),
        "rate": round(rate, 1),
    }
