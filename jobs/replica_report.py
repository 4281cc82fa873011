"""What replicas of the service say of themselves, and in a sentence whether the lane stands."""

import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any

ASKED = 6
"""Whoever answers is chosen by the front door, so several questions find all replicas."""


def replica_report(url: str) -> dict[str, Any] | None:
    """`GET /v1/model` of one replica; None while the service is away."""
    key = {"x-api-key": os.environ["EASQ_API_KEY"]} if "EASQ_API_KEY" in os.environ else {}
    question = urllib.request.Request(f"{url}/v1/model", headers=key)
    try:
        with urllib.request.urlopen(question, timeout=2) as response:
            return json.loads(response.read())
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        return None


def stopped_lane(report: dict[str, Any] | None) -> str | None:
    """Why the replica serves a version without deltas; None: it follows them, or is away."""
    stopped = ((report or {}).get("deltas") or {}).get("stopped")
    return stopped and f"the lane is stopped, no deltas are served: {stopped}"


def stopped_somewhere(url: str) -> str | None:
    """Why a replica serves without deltas; while waves go out, others may have them again."""
    reports = (replica_report(url) for _ in range(ASKED))
    return next(filter(None, map(stopped_lane, reports)), None)
