"""Viewers in a process of their own, so that what many of them cost is not a wait of others.

Usage: crowd.py URL HISTORY PLAN LEDGER      prints what they saw
"""

import json
import sys
from pathlib import Path

from easq.history import History
from easq.ledger import Ledger
from jobs.viewer_sessions import ViewingPlan
from jobs.viewers import run_viewers


def main(url: str, history: str, plan: str, ledger: str) -> None:
    with (
        Ledger(Path(ledger)) as book,
        run_viewers(
            url, History.open(Path(history)), ViewingPlan.model_validate_json(plan), book, seed=2
        ) as crowd,
    ):
        crowd.wait()
    seen = crowd.statistics()
    print(json.dumps(seen._replace(buckets=[])._asdict()))


if __name__ == "__main__":
    main(*sys.argv[1:])
