"""Asks the ranking service about logged requests, over HTTP."""

import json
import time
import urllib.request
from typing import Any, NamedTuple

import pyarrow as pa

from easq.features import FeatureSpec


class Ranked(NamedTuple):
    """A response and how long it took."""

    body: dict[str, Any]
    milliseconds: float


def rank_request(spec: FeatureSpec, row: dict[str, Any]) -> dict[str, Any]:
    """A sample of one request as the body of POST /v1/rank; its outcome stays behind."""
    ids = [(f.of, f.name, f.column) for f in spec.categorical if f.of != "context"]
    named = ids + [(f.of, f.name, f.column) for f in spec.dense]
    user = {name: row[column] for of, name, column in named if of == "user"}
    items = {name: row[column] for of, name, column in named if of == "item"}
    return {
        "request_id": row["request_id"],
        "user": user | {"user_id": row["user_id"]},
        "scenario": row["scenario"],
        "request_time_ms": row["request_time_ms"],
        "candidates": items | {"item_id": row["item_id"]},
        "upstream": {name: row[f"upstream.{name}"] for name in spec.upstream},
    }


def distinct_requests(samples: pa.Table, count: int) -> list[dict[str, Any]]:
    """The last requests with several candidates, all different."""
    rows = []
    for row in reversed(samples.slice(max(samples.num_rows - 50 * count, 0)).to_pylist()):
        if len(row["item_id"]) > 1 and len(set(row["item_id"])) == len(row["item_id"]):
            rows.append(row)
        if len(rows) == count:
            break
    return rows


def rank(url: str, body: dict[str, Any]) -> Ranked:
    """Raises urllib.error.HTTPError when the service refuses."""
    started = time.perf_counter()
    request = urllib.request.Request(
        f"{url}/v1/rank", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer = json.loads(response.read())
    return Ranked(answer, 1000 * (time.perf_counter() - started))


def live_version(url: str) -> int | None:
    """The version that is served now; None while there is none."""
    with urllib.request.urlopen(f"{url}/v1/model", timeout=10) as response:
        live = json.loads(response.read())["live"]
    return None if live is None else int(live["version"])
