"""What a replica of the service says of itself, and in a sentence whether its fast lane stands."""

import json
import os
import urllib.error
import urllib.request
from typing import Any


def replica_report(url: str) -> dict[str, Any] | None:
    """`GET /v1/model` of one replica; None while the service is away."""
    key = {"x-api-key": os.environ["EASQ_API_KEY"]} if "EASQ_API_KEY" in os.environ else {}
    question = urllib.request.Request(f"{url}/v1/model", headers=key)
    try:
        with urllib.request.urlopen(question, timeout=2) as response:
            return json.loads(response.read())
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return None


def stopped_lane(report: dict[str, Any] | None) -> str | None:
    """Why the replica serves a version without deltas; None: it follows them, or is away."""
    deltas = report and report["deltas"]
    if not deltas or deltas["stopped"] is None:
        return None
    return f"the lane is stopped, no deltas are served: {deltas['stopped']}"
