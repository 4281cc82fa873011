"""How fast training makes up for a time in which it did not run, beside a bare learner.

Usage: catch_up_cost.py FOLDER BLOCKS DOWN_SECONDS      prints one JSON object

The loop and the load are those of freshness_cost.py; viewers go on all the time. A block is one
downtime of training: it is drained, and started again. What is measured begins with the first
window that it learns then and ends with the first that is learnt in time. The yardstick is a
learner alone, of one process, with the same windows, once all else has ended.
"""

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from freshness_cost import capacity, reference_loop, settle

from easq.history import History
from easq.log.connect import open_log
from easq.log.interface import Log
from easq.sealed import SealedReader
from easq.train.config import TrainConfig
from easq.train.learner import Learner
from easq.train.lines import Lines
from easq.train.run_folder import WINDOWS, run_folder
from easq.train.tail import share_of_log
from jobs.living import SPEED, wake
from jobs.loop import Loop, wait_until_ready
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan

IN_TIME_SECONDS, CALM_SECONDS, PATIENCE_SECONDS = 2.0, 10.0, 300.0


class Learnt(NamedTuple):
    """A window of the log, in Unix seconds."""

    at: float
    sealed_at: float
    requests: int


class Block(NamedTuple):
    """What was made up for, from the first window to the first in time."""

    since: float  # event time, Unix seconds, as `until`
    until: float
    seconds: float
    start_seconds: float  # from the start of the driver to the first window
    requests: int


def main(folder: Path, blocks: int, down_seconds: float) -> None:
    loop, history = reference_loop(folder)
    try:
        loop.start()
        wait_until_ready(loop)
        wake(loop, history)
        log = open_log(loop.log)
        rate = capacity(loop, history) / 2
        settle(loop, log)
        plan = ViewingPlan(seconds=3600, rate=rate, speed=SPEED, viewers=32)
        with run_viewers(loop.url, history, plan, seed=3) as crowd:
            _watch(loop, CALM_SECONDS)
            found = [downtime(loop, down_seconds) for _ in range(blocks)]
            crowd.stop()
        seen = crowd.statistics()
    finally:
        loop.stop()
    alone = [bare_seconds(log, loop.config, history, block) for block in found]
    print(
        json.dumps(
            {
                "ratio": [(b.until - b.since) / b.seconds for b in found],
                "bare": [(b.until - b.since) / s for b, s in zip(found, alone, strict=True)],
                "rate": round(rate, 1),
                "failed": seen.not_ranked,
                "blocks": [b._asdict() for b in found],
            }
        )
    )


def downtime(loop: Loop, seconds: float) -> Block:
    """Training is drained, viewers go on, and it starts again."""
    [training] = [part for part in loop.supervisor.parts if part.part.name == "train"]
    training.stop()
    _watch(loop, seconds)
    lines = Lines(run_folder(loop.config) / WINDOWS)
    began, learnt = time.time(), list[Learnt]()
    loop.supervisor.start("train")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not learnt or learnt[-1].at - learnt[-1].sealed_at > IN_TIME_SECONDS:
        if time.monotonic() > deadline:
            raise RuntimeError(f"training has not caught up; see {loop.folder}")
        _watch(loop, 0.2)
        new = [_learnt(line) for line in lines.new() if "lag_seconds" in line]
        learnt = in_time([*learnt, *(window for window in new if window.at > began)])
    _watch(loop, CALM_SECONDS)
    first, last = learnt[0], learnt[-1]
    return Block(
        first.sealed_at,
        last.sealed_at,
        last.at - first.at,
        first.at - began,
        sum(window.requests for window in learnt[1:]),
    )


def in_time(learnt: list[Learnt]) -> list[Learnt]:
    """Up to the first window that was learnt in time."""
    for n, window in enumerate(learnt):
        if window.at - window.sealed_at <= IN_TIME_SECONDS:
            return learnt[: n + 1]
    return learnt


def _learnt(line: dict[str, Any]) -> Learnt:
    at = datetime.fromisoformat(line["learnt_at"]).timestamp()
    return Learnt(at, at - line["lag_seconds"], line["requests"])


def bare_seconds(log: Log, config: TrainConfig, history: History, block: Block) -> float:
    """What scoring and learning of a block's windows alone takes."""
    torch.set_num_threads(config.workers.threads)
    spec = history.description.features
    learner, reader = Learner(config, spec, torch.device("cpu")), SealedReader(log)
    seconds = 0.0
    while (sealed := reader.next()) is not None:
        share = share_of_log(sealed, spec, 0, 0, 1)
        if share.sealed_at_ms > 1000 * block.until + 500:
            break
        began = time.perf_counter()
        scores = learner.score(share)
        learner.learn(share, scores.loss)
        if share.sealed_at_ms > 1000 * block.since + 500:
            seconds += time.perf_counter() - began
    return seconds


def _watch(loop: Loop, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        loop.look()
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
