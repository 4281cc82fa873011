"""Rankings of requests that the history knows, as a first user of the service would ask."""

import statistics

import numpy as np
from rich.console import Console

from easq.history import History
from jobs.demo_report import samples_of
from jobs.ranking_client import distinct_requests, live_version, rank, rank_request

RANKED_REQUESTS = 50


def rank_history(console: Console, url: str, history: History) -> None:
    """Ask the service about the history's last requests."""
    spec = history.description.features
    rows = distinct_requests(samples_of(history), RANKED_REQUESTS)
    answers = [rank(url, rank_request(spec, row)) for row in rows]
    for row, answer in list(zip(rows, answers, strict=True))[:3]:
        body = answer.body
        best = ", ".join(
            f"{item} ({score:+.2f})"
            for item, score in list(zip(body["item_id"], body["score"], strict=True))[:5]
        )
        console.print(
            f"user {row['user_id']}, {len(row['item_id'])} candidates, "
            f"version {body['model']['version']}: {best}"
        )
    p50 = statistics.median(answer.milliseconds for answer in answers)
    candidates = np.mean([len(row["item_id"]) for row in rows])
    console.print(
        f"{len(answers)} rankings of {candidates:.0f} candidates on average: "
        f"p50 {p50:.1f} ms over HTTP, version {live_version(url)} live"
    )
