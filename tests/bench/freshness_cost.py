"""Freshness of answers in the whole loop, beside the floor of the same answers.

Usage: freshness_cost.py FOLDER BLOCKS BLOCK_SECONDS      prints one JSON object

Reference: 10^6 rows of 64 numbers, about 100 candidates a request, load at half of what the
whole loop takes from viewers who never wait. FOLDER is empty, or holds what a run left there.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from freshness_ways import applied, figures, ways

from easq.announcements import DELTA
from easq.artefact import ServedRanker, load_ranker
from easq.delta import read_head
from easq.history import History
from easq.ledger import Ledger
from easq.log.connect import open_log
from easq.log.interface import MODELS, SAMPLES, Log
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.train.config import load_config
from easq.train.run_folder import WINDOWS, run_folder
from jobs.living import FEEDBACK_SECONDS, SERVING, SPEED, wake
from jobs.loop import Loop, wait_until_ready
from jobs.loop_parts import LoopSettings
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan

USERS, ITEMS = 20_000, 30_000  # 20 rows each: 10^6
HISTORY_REQUESTS, CANDIDATES = 4096, (100, 110)
ASK_SHARE = "0.1"
CAPACITY_SECONDS, WARM_UP_SECONDS, SETTLE_SECONDS = 10.0, 5.0, 120.0

LOOK_BACK = 20
"""The newest delta is among so many announcements."""


def reference_loop(folder: Path) -> tuple[Loop, History]:
    history = folder / "history"
    traffic = TrafficConfig(requests=HISTORY_REQUESTS, candidates=CANDIDATES)
    world = WorldConfig(users=USERS, items=ITEMS)
    made = write_simulation(history, SimulationConfig(world=world, traffic=traffic))
    file = folder / "loop.toml"
    file.write_text(f"""
[run]
name = "freshness"
storage = "{folder / "runs"}"
[data]
history = "{history}"
window = 1024
[stream]
log = "sqlite:///{folder / "log.db"}"
[tracking]
uri = "sqlite:///{folder / "mlflow.db"}"
gate = true
""")
    serving = SERVING | {"ask_share": ASK_SHARE}
    settings = LoopSettings(feedback_seconds=FEEDBACK_SECONDS, serving=serving)
    return Loop(load_config(file), file, folder, settings), made


def capacity(loop: Loop, history: History) -> float:
    """Rankings a second, each with its feedback, of viewers who never wait."""
    plan = ViewingPlan(seconds=CAPACITY_SECONDS, rate=None, viewers=8, speed=SPEED)
    with run_viewers(loop.url, history, plan, seed=2) as crowd:
        while not crowd.wait(0.5):
            loop.look()
        seconds = crowd.tally.latencies()[:, 0]
    return len(seconds) / CAPACITY_SECONDS


def settle(loop: Loop, log: Log) -> None:
    """Until all that was sealed has been learnt."""
    time.sleep(FEEDBACK_SECONDS + 2)
    deadline = time.monotonic() + SETTLE_SECONDS
    while newest_learnt(log) < log.end(SAMPLES, 0):
        loop.look()
        if time.monotonic() > deadline:
            raise RuntimeError(f"training was {SETTLE_SECONDS:.0f} s behind; see {loop.folder}")
        time.sleep(0.5)


def newest_learnt(log: Log) -> int:
    """Samples below this offset are in the newest delta."""
    rows = log.read(MODELS, 0, max(log.end(MODELS, 0) - LOOK_BACK, 0))
    table = [] if rows is None else rows.table.select(["kind", "body"]).to_pylist()
    heads = [read_head(row["body"]) for row in table if row["kind"] == DELTA]
    return heads[-1].learnt[0] if heads else 0


def load(loop: Loop, history: History, rate: float, seconds: float) -> tuple[Path, dict[str, Any]]:
    """Viewers at a rate; their ledger, and what they saw."""
    path = loop.folder / "viewers.jsonl"
    plan = ViewingPlan(seconds=seconds, rate=rate, speed=SPEED, viewers=32)
    with Ledger(path) as ledger, run_viewers(loop.url, history, plan, ledger, seed=3) as crowd:
        while not crowd.wait(0.5):
            loop.look()
        seen = crowd.statistics()
    return path, {
        "rank_p50_ms": round(seen.p50_ms, 1),
        "rank_p99_ms": round(seen.p99_ms, 1),
        "requests": seen.requests,
        "failed": seen.not_ranked,
        "late_s": round(seen.behind_seconds, 2),
        "restarts": {n: p["restarts"] for n, p in loop.supervisor.report().items()},
    }


def main(folder: Path, blocks: int, seconds: float) -> None:
    loop, history = reference_loop(folder)
    try:
        loop.start()
        wait_until_ready(loop)
        wake(loop, history)
        log = open_log(loop.log)
        rate = capacity(loop, history) / 2
        settle(loop, log)
        began = time.time() + WARM_UP_SECONDS
        ledger, seen = load(loop, history, rate, WARM_UP_SECONDS + blocks * seconds)
        settle(loop, log)
        found = ways(ledger, log, run_folder(loop.config) / WINDOWS)
    finally:
        loop.stop()
    delta = applied(first_version(folder), log)
    measured = [way for way in found if way.accepted >= began]
    result = figures(measured, delta.seconds, began, seconds)
    print(json.dumps(result | {"load": {"rate": rate} | seen, "delta": delta._asdict()}))


def first_version(folder: Path) -> ServedRanker:
    """The oldest of the versions that were served."""
    versions = [load_ranker(path.parent) for path in (folder / "versions").rglob("manifest.json")]
    return min(versions, key=lambda version: version.file.position.next_window)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
