"""Training through Ray against the same steps in a plain process, and two workers against one."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from easq.train.config import parse_config
from easq.train.run_folder import WINDOWS, run_folder
from easq.train.trainer import fit
from jobs.cluster import ray_cluster

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(900)]

ROUNDS = 3
WARM_UP = 1
"""Windows of a run that are not counted: workers import, threads start, memory is touched."""
WINDOW, COUNT = 4096, 4
UNIT = "requests/s, scored and learnt"
YARDSTICKS = {
    "tensors": "score and step on tensors collated beforehand, one plain process",
    "shares": "score, collate and step from shares in memory, one plain process",
}


class Pace(NamedTuple):
    """Of the steady windows of one run."""

    rate: float  # requests/s
    waiting: float  # share of the time in which the worker waited for its data


def through_ray(history: Path, storage: Path, workers: int) -> Pace:
    tables = {
        "run": {"name": "bench", "storage": str(storage)},
        "data": {"history": str(history), "window": WINDOW},
        "workers": {"num": workers},
        "checkpoint": {"every_windows": COUNT},
    }
    config = parse_config(tables, "benchmark")
    fit(config)
    lines = (run_folder(config) / WINDOWS).read_text().splitlines()
    shutil.rmtree(storage)
    steady = [json.loads(line) for line in lines][WARM_UP:]
    seconds = sum(w["seconds"] for w in steady)
    return Pace(
        sum(w["requests"] for w in steady) / seconds,
        sum(w["seconds_waiting"] for w in steady) / seconds,
    )


def test_the_pipeline_against_a_plain_process(reference, measurer, block, blocks, report, tmp_path):
    plain_rates: dict[str, list[float]] = {"tensors": [], "shares": []}
    paces: dict[int, list[Pace]] = {1: [], 2: []}
    with measurer("plain.py", reference, WINDOW, COUNT - WARM_UP) as plain, ray_cluster(cpus=4):
        for _ in range(ROUNDS):
            for what, rates in plain_rates.items():
                rates.append(block(plain, what)["rate"])
            for workers, measured in paces.items():
                measured.append(through_ray(reference, tmp_path / "runs", workers))
    one, two = ([pace.rate for pace in measured] for measured in paces.values())
    waiting = round(max(pace.waiting for pace in paces[1]), 4)
    for what, yardstick in YARDSTICKS.items():
        name, measured = f"ray_one_worker_to_{what}", blocks(one, plain_rates[what])
        report(name, measured, UNIT, yardstick, ">= 0.90", waiting_for_data=waiting)
    report("ray_two_workers", blocks(two, one), UNIT, "one worker", ">= 1.6 on two cores")
