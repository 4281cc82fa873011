"""Latency of ranking over HTTP against the forward pass alone, in alternating blocks of calls.

Usage: http_cost.py version HISTORY OUT                  writes a version to publish
       http_cost.py measure URL VERSION PAIRS CANDIDATES...   prints p50s in ms, a line a size
       http_cost.py impression WITH WITHOUT VERSION PAIRS CANDIDATES...   the same, of two URLs
"""

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from plain import CPU, settings

from easq.artefact import load_ranker
from easq.features import FeatureSpec
from easq.history import History
from easq.train.learner import Learner
from easq.versions import version_from_checkpoint
from serving.columns import expected_request, to_columns
from serving.contract import ModelName, RankRequest, RankResponse
from serving.replica import best_first

CALLS, WARM_UP = 60, 10
HEADERS = {"content-type": "application/json"}
Call = Callable[[], Any]


def write_version(history: str, out: str) -> None:
    """The first weights of a seed, at the reference size."""
    data, config = History.open(history), settings(history)
    with tempfile.TemporaryDirectory() as checkpoint:
        Learner(config, data.description.features, CPU).save(Path(checkpoint))
        version_from_checkpoint(Path(checkpoint), config, data, Path(out))


def request(spec: FeatureSpec, candidates: int) -> str:
    rng = np.random.default_rng(candidates)
    items = [f.name for f in spec.items if f.name != "item_id"]
    body = {
        "user": {f.name: 7 for f in spec.users if f.of == "user"}
        | {f.name: 0.1 for f in spec.dense if f.of == "user"},
        "scenario": "main",
        "request_time_ms": 1_650_000_000_000,
        "candidates": {"item_id": rng.permutation(10**6)[:candidates].tolist()}
        | {name: rng.integers(0, 10**6, candidates).tolist() for name in items}
        | {
            f.name: rng.normal(size=candidates).round(6).tolist()
            for f in spec.dense
            if f.of == "item"
        },
        "upstream": {name: rng.random(candidates).round(6).tolist() for name in spec.upstream},
        "top_k": 10,
    }
    return json.dumps(body)


def asking(url: str, method: str, path: str, body: str | None) -> Call:
    """One request over a connection that stays open."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def ask() -> bytes:
        connection.request(method, path, body, HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{path} answered {answer.status}: {text[:500]!r}")
        return text

    return ask


def calls(url: str, version: str, candidates: int) -> dict[str, Call]:
    """Ranking over HTTP, a route that does nothing, the forward pass, and JSON in and out alone."""
    ranker = load_ranker(Path(version))
    content = request(ranker.spec, candidates)
    expected = expected_request(ranker.spec)
    columns = to_columns(RankRequest.model_validate_json(content), expected, 1000, 0)
    scores = ranker.score(columns)

    def translate() -> None:
        item = to_columns(RankRequest.model_validate_json(content), expected, 1000, 0).item
        best = best_first(scores, 10)
        ids, model = item["item_id"][best].tolist(), ModelName(name="easq", version=1)
        RankResponse(
            request_id="r",
            model=model,
            scenario="main",
            request_time_ms=0,
            item_id=ids,
            score=scores[best].tolist(),
            asked=[False] * len(best),
        ).model_dump_json()

    return {
        "rank": asking(url, "POST", "/v1/rank", content),
        "nothing": asking(url, "GET", "/healthz", None),
        "forward": partial(ranker.score, columns),
        "translate": translate,
    }


def p50_ms(call: Call) -> float:
    taken = []
    for _ in range(WARM_UP + CALLS):
        since = time.perf_counter()
        call()
        taken.append(time.perf_counter() - since)
    return float(np.median(taken[WARM_UP:])) * 1e3


def alternate(named: dict[str, Call], pairs: int) -> dict[str, list[float]]:
    """p50s in ms, by call, of alternating blocks."""
    taken: dict[str, list[float]] = {name: [] for name in named}
    for _ in range(pairs):
        for name, call in named.items():
            taken[name].append(p50_ms(call))
    return taken


def measure(url: str, version: str, pairs: str, *sizes: str) -> None:
    torch.set_num_threads(1)
    for candidates in map(int, sizes):
        taken = alternate(calls(url, version, candidates), int(pairs))
        print(json.dumps({"candidates": candidates} | taken), flush=True)


def impression(on: str, off: str, version: str, pairs: str, *sizes: str) -> None:
    spec = load_ranker(Path(version)).spec
    for candidates in map(int, sizes):
        content = request(spec, candidates)
        urls = {"with": on, "without": off}
        named = {n: asking(url, "POST", "/v1/rank", content) for n, url in urls.items()}
        check_tokens(named)
        taken = alternate(named, int(pairs))
        print(json.dumps({"candidates": candidates} | taken), flush=True)


def check_tokens(named: dict[str, Call]) -> None:
    came = {name: json.loads(call())["feedback"] for name, call in named.items()}
    if came != {"with": "on", "without": "off"}:
        raise RuntimeError(f"expected tokens from the one and none from the other; got {came}")


if __name__ == "__main__":
    commands = {"version": write_version, "measure": measure, "impression": impression}
    commands[sys.argv[1]](*sys.argv[2:])
