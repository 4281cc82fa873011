"""A run that goes on with a log: killed, drained, started again, and given a bad window."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
import torch
from safetensors.torch import load_file

from easq.log.interface import SAMPLES, Log
from easq.log.sqlite import SqliteLog
from easq.train.behind import read_reached
from easq.train.config import TrainConfig, parse_config
from easq.train.drain import ask_to_drain, is_running
from easq.train.latest import Latest
from easq.train.lines import Lines
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import FAILURES, QUARANTINE, WINDOWS, run_folder
from easq.train.trainer import fit

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

REPLAY = Path(__file__).parents[1] / "easq" / "train" / "replay.py"
HISTORY_WINDOWS = 2


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(
        "local",
        num_cpus=3,
        object_store_memory=150 << 20,
        include_dashboard=False,
        log_to_driver=False,
    )
    yield
    ray.shutdown()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return SqliteLog(tmp_path / "log.db")


@pytest.fixture
def tables(make_history, tmp_path: Path, log: Log) -> dict[str, Any]:
    """A short history; passes of 4 windows, checkpoints after each second one of the log."""
    return {
        "run": {"name": "run", "storage": str(tmp_path / "runs")},
        "data": {"history": str(make_history(40 * HISTORY_WINDOWS).root), "window": 40},
        "model": {"width": 32},
        "optim": {"batch": 16},
        "stream": {
            "log": f"sqlite:///{tmp_path / 'log.db'}",
            "pass_windows": 4,
            "checkpoint_windows": 2,
        },
    }


def windows_of(config: TrainConfig) -> list[int]:
    return [line["window"] for line in Lines(run_folder(config) / WINDOWS).new()]


def wait_for(fact: Callable[[], object], training: Future) -> None:
    end = time.monotonic() + 120
    while not fact():
        assert not training.done(), f"training ended: {training.result()}"
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def training(config: TrainConfig) -> Iterator[Future[Latest]]:
    """A driver in a thread; drained at the end, whatever happens."""
    with ThreadPoolExecutor(1) as driver:
        run = driver.submit(fit, config)
        try:
            yield run
        finally:
            if is_running(run_folder(config)):
                ask_to_drain(run_folder(config))


def wait_for_windows(config: TrainConfig, last: int, run: Future) -> None:
    wait_for(lambda: last in windows_of(config), run)


def train_workers() -> list[int]:
    """Process ids of this test's own cluster."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            ours = b"RayTrainWorker" in path.read_bytes() and os.getpid() in ancestors(path.parent)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if ours:
            found.append(int(path.parent.name))
    return found


def ancestors(process: Path) -> list[int]:
    found = []
    while process.name != "1" and process.name != "0":
        status = (process / "status").read_text()
        found.append(int(re.search(r"^PPid:\t(\d+)$", status, re.MULTILINE)[1]))
        process = process.with_name(str(found[-1]))
    return found


def learnt(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(newest_checkpoint(run_folder(config)) / "weights.safetensors")


def replayed(
    tables: dict[str, Any], out: Path, workers: int, windows: int
) -> dict[str, torch.Tensor]:
    """The weights after so many windows, when nothing goes wrong."""
    started = [
        subprocess.Popen(
            [sys.executable, REPLAY, json.dumps(tables), out, str(r), str(workers), str(windows)]
        )
        for r in range(workers)
    ]
    assert [worker.wait(timeout=240) for worker in started] == [0] * workers
    return load_file(out / "weights.safetensors")


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def test_a_killed_drained_and_restarted_run_learns_what_a_clean_replay_learns(
    tables, log, append_windows, tmp_path
):
    config = parse_config(tables | {"workers": {"num": 2}}, "test")
    with training(config) as run:
        wait_for_windows(config, HISTORY_WINDOWS - 1, run)
        append_windows(log, 0, 3)
        wait_for_windows(config, HISTORY_WINDOWS + 2, run)
        os.kill(max(train_workers()), signal.SIGKILL)
        append_windows(log, 3, 3)  # over the end of a pass
        wait_for_windows(config, HISTORY_WINDOWS + 5, run)
    assert (run_folder(config) / FAILURES).is_file()
    assert not (run_folder(config) / QUARANTINE).exists()
    assert run.result().window == HISTORY_WINDOWS + 6
    position = read_position(run_folder(config) / run.result().checkpoint)
    assert position.offsets == {0: log.end(SAMPLES, 0)}
    assert position.requests == 40 * HISTORY_WINDOWS + 20 * 6
    assert read_reached(run_folder(config)).offsets == position.offsets

    append_windows(log, 6, 1)
    with training(config) as again:
        wait_for_windows(config, HISTORY_WINDOWS + 6, again)
    assert again.result().window == HISTORY_WINDOWS + 7
    assert windows_of(config) == list(range(HISTORY_WINDOWS + 7))
    clean = replayed(tables, tmp_path / "replay", 2, HISTORY_WINDOWS + 7)
    assert_same(learnt(config), clean)


def lines(table: dict[str, Any]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items())


@pytest.mark.soak
def test_a_driver_that_is_told_to_stop_again_and_again_drains_and_closes(
    tables, log, append_windows, tmp_path
):
    config, file = parse_config(tables, "test"), tmp_path / "train.toml"
    file.write_text("\n".join(f"[{name}]\n{lines(table)}" for name, table in tables.items()))
    command = [sys.executable, "-m", "jobs.train", str(file)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    append_windows(log, 0, 1)
    while HISTORY_WINDOWS not in windows_of(config):
        assert driver.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    ask_to_drain(run_folder(config))
    while is_running(run_folder(config)):
        driver.terminate()
        assert time.monotonic() < end
        time.sleep(0.02)
    driver.terminate()  # while it closes
    output, _ = driver.communicate()
    assert driver.returncode == 0
    assert f"is drained, and the same command goes on: {HISTORY_WINDOWS + 1} windows" in output


def overflowing(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("user.activity")
    values = pa.array([3e38] * table.num_rows, pa.float32())
    return table.set_column(at, table.schema.field(at), values)


@pytest.mark.soak
def test_a_window_that_spoils_the_weights_is_left_out_and_the_rest_is_learnt(
    tables, log, append_windows, random_samples, seal_window, tmp_path
):
    config = parse_config(tables, "test")
    append_windows(log, 0, 1)
    log.append(SAMPLES, 0, seal_window(overflowing(random_samples(20, seed=5)), 1, 0))
    append_windows(log, 2, 1)
    with training(config) as run:
        wait_for_windows(config, HISTORY_WINDOWS + 2, run)
    bad = HISTORY_WINDOWS + 1
    assert windows_of(config) == [0, 1, 2, 4]
    (line,) = Lines(run_folder(config) / QUARANTINE).new()
    assert (line["window"], line["attempts"], line["requests"]) == (bad, 3, 20)
    assert "scores are not a number" in (run_folder(config) / FAILURES).read_text()
    position = read_position(run_folder(config) / run.result().checkpoint)
    assert position.offsets == {0: log.end(SAMPLES, 0)}
    assert read_reached(run_folder(config)).offsets == position.offsets
    assert all(weight.isfinite().all() for weight in learnt(config).values())
