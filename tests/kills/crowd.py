"""Viewers in a process of their own, so that what many of them cost is not a wait of others.

Usage: crowd.py URL HISTORY PLAN LEDGER      prints what they saw
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from easq.history import History
from easq.ledger import Ledger
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan


def first_in_line() -> None:
    """Whoever is not let on to the cores measures that, and not the service."""
    with suppress(PermissionError):
        os.nice(-10)


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
    first_in_line()
    main(*sys.argv[1:])
