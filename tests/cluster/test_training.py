"""Training through Ray Train and Ray Data, with workers and drivers that are killed.

What must come out is what the same workers learn without Ray and without an accident.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import ray
import torch
from ray.job_submission import JobSubmissionClient
from safetensors.torch import load_file

from easq.free_ports import free_ports
from easq.history import History
from easq.log.interface import SAMPLES
from easq.log.sqlite import SqliteLog
from easq.train.checkpoints import Checkpoints
from easq.train.config import TrainConfig, parse_config
from easq.train.latest import read_latest
from easq.train.learner import Learner
from easq.train.position import newest_checkpoint, read_position
from easq.train.resume import NoCheckpointError
from easq.train.run_folder import WINDOWS, claim, run_folder
from easq.train.share import share_of
from easq.train.trainer import fit

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

WITHOUT_RAY = Path(__file__).parents[1] / "easq" / "train" / "worker.py"
RUNTIME_ENV = Path(__file__).parents[2] / "infra" / "config" / "job.yaml"
RAY = str(Path(sys.executable).with_name("ray"))
WINDOW, NUM_WINDOWS = 40, 15


def settings(history: History, storage: Path, workers: int) -> dict[str, Any]:
    """Checkpoints after windows 4, 8, 12 and the last."""
    return {
        "run": {"name": "run", "storage": str(storage)},
        "data": {"history": str(history.root), "window": WINDOW},
        "model": {"width": 32, "behaviour_heads": True},
        "loss": {"behaviours": 1.0},
        "optim": {"batch": 16},
        "pairs": {"cross_user_alignment": 0.2},
        "workers": {"num": workers},
        "checkpoint": {"every_windows": 4},
    }


@pytest.fixture
def history(make_history) -> History:
    return make_history(WINDOW * NUM_WINDOWS)


class Cluster(NamedTuple):
    """A running cluster of four slots."""

    head: int  # process id
    dashboard: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """`ray start`, on free ports, since `ray.init` cannot choose the port that jobs need."""
    gcs, dashboard = free_ports(2)
    ports = [f"--port={gcs}", f"--dashboard-port={dashboard}", "--dashboard-agent-listen-port=0"]
    size = ["--num-cpus=4", f"--object-store-memory={200 << 20}"]
    with tempfile.TemporaryDirectory(
        prefix="easq-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        head = subprocess.Popen(
            [RAY, "start", "--head", "--block", f"--temp-dir={folder}", *ports, *size],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: accepts(gcs) and accepts(dashboard), seconds=60)
        ray.init(f"127.0.0.1:{gcs}", log_to_driver=False)
        yield Cluster(head.pid, f"http://127.0.0.1:{dashboard}")
        ray.shutdown()
        kill_all([head.pid, *descendants(head.pid)])  # asked to, it would take 30 s
        head.wait(timeout=60)


def accepts(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def learnt_without_ray(history: History, out: Path, workers: int) -> dict[str, torch.Tensor]:
    """The weights after all windows, when nothing goes wrong."""
    arguments = [str(out.with_suffix(".store")), "float32", str(WINDOW)]
    started = [
        subprocess.Popen(
            [sys.executable, WITHOUT_RAY, history.root, out, str(rank), str(workers), *arguments]
        )
        for rank in range(workers)
    ]
    assert [worker.wait(timeout=240) for worker in started] == [0] * workers
    return load_file(out / "weights.safetensors")


def learnt(config: TrainConfig) -> dict[str, torch.Tensor]:
    latest = read_latest(run_folder(config))
    assert latest is not None
    assert latest.window == NUM_WINDOWS
    return load_file(run_folder(config) / latest.checkpoint / "weights.safetensors")


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def windows_of(config: TrainConfig) -> list[int]:
    path = run_folder(config) / WINDOWS
    lines = path.read_text().splitlines(True) if path.is_file() else []
    return [json.loads(line)["window"] for line in lines if line.endswith("\n")]


def wait_for(fact: Callable[[], object], seconds: float, pause: float = 0.005) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(pause)


def descendants(pid: int) -> list[int]:
    """Processes that a process started, and those that they started."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = re.search(r"^PPid:\t(\d+)$", path.read_text(), re.MULTILINE)
            children[int(parent[1])].append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found[1:]


def kill_all(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def train_workers(cluster: Cluster) -> list[int]:
    return [
        pid
        for pid in descendants(cluster.head)
        if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def kill_a_worker_after(config: TrainConfig, window: int, cluster: Cluster) -> None:
    wait_for(lambda: window in windows_of(config), seconds=90)
    os.kill(max(train_workers(cluster)), signal.SIGKILL)


@pytest.mark.soak  # test_online.py kills a worker too
def test_a_killed_worker_costs_no_window_and_changes_no_weight(history, cluster, tmp_path):
    config = parse_config(settings(history, tmp_path / "runs", workers=2), "test")
    killer = threading.Thread(target=kill_a_worker_after, args=(config, 5, cluster))
    killer.start()
    fit(config)
    killer.join()
    assert (run_folder(config) / "failures.jsonl").is_file()
    assert windows_of(config) == list(range(NUM_WINDOWS))
    assert_same(learnt(config), learnt_without_ray(history, tmp_path / "alone", workers=2))


def test_a_cluster_that_is_too_small_is_refused_with_a_sentence(history, cluster, tmp_path):
    config = parse_config(settings(history, tmp_path, workers=4), "test")
    with pytest.raises(ValueError, match=r"need 5 CPUs; the cluster has 4 CPUs .* --num-cpus 5"):
        fit(config)


def begun(config: TrainConfig, history: History, *checkpoints: int) -> Path:
    """A run that has learnt so many windows; its newest checkpoint is damaged."""
    own, windows = claim(config, history.description), history.windows(WINDOW)
    learner = Learner(config, history.description.features, torch.device("cpu"))
    writer = Checkpoints(run_folder(config), own, lambda at: None)
    for window in windows[: checkpoints[-1]]:
        share = share_of(history.read(window), window, len(windows), 0, 1)
        learner.learn(share, learner.score(share).loss)
        if learner.next_window in checkpoints:
            writer.begin(learner.contents())
    writer.settle()
    newest = newest_checkpoint(run_folder(config))
    assert newest is not None
    weights = bytearray((newest / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (newest / "weights.safetensors").write_bytes(weights)
    return newest


@pytest.mark.soak  # tests/easq/train/test_resume.py damages checkpoints without a cluster
def test_a_damaged_checkpoint_costs_windows_and_changes_no_weight(history, cluster, tmp_path):
    config = parse_config(settings(history, tmp_path / "runs", workers=1), "test")
    damaged = begun(config, history, 4, 8)
    fit(config)
    assert windows_of(config) == list(range(4, NUM_WINDOWS))
    assert_same(learnt(config), learnt_without_ray(history, tmp_path / "alone", workers=1))
    assert damaged.is_dir()
    assert damaged.with_name(f"damaged-{damaged.name}").is_dir()


@pytest.mark.soak
def test_without_a_sound_checkpoint_a_run_ends_though_any_number_of_failures_is_allowed(
    history, cluster, tmp_path
):
    tables = settings(history, tmp_path, workers=2)
    config = parse_config(tables | {"workers": {"num": 2, "max_failures": -1}}, "test")
    begun(config, history, 4)
    with pytest.raises(NoCheckpointError, match=r"damaged-window-000004.* or choose a new run"):
        fit(config)
    assert not (run_folder(config) / "failures.jsonl").exists()
    assert windows_of(config) == []


def train_command(config: Path) -> list[str]:
    return [sys.executable, "-m", "jobs.train", str(config)]


@pytest.fixture
def config_file(history, tmp_path) -> Path:
    return written(settings(history, tmp_path / "runs", workers=1), tmp_path / "train.toml")


def written(tables: dict[str, Any], path: Path) -> Path:
    path.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(v)}" for key, v in table.items())
            for name, table in tables.items()
        )
    )
    return path


def test_a_killed_driver_goes_on_when_it_is_started_again(history, config_file, tmp_path):
    config = parse_config(settings(history, tmp_path / "runs", workers=1), "test")
    driver = subprocess.Popen(train_command(config_file))
    wait_for(lambda: 9 in windows_of(config) or driver.poll() is not None, seconds=90)
    ray_processes = descendants(driver.pid)
    driver.kill()
    driver.wait()
    assert 8 <= read_latest(run_folder(config)).window < NUM_WINDOWS
    kill_all(ray_processes)
    again = subprocess.run(
        train_command(config_file), capture_output=True, text=True, timeout=400, check=False
    )
    assert again.returncode == 0, again.stderr
    printed = [line for line in again.stdout.splitlines() if line.startswith("window ")]
    assert len(printed) < NUM_WINDOWS
    assert windows_of(config) == list(range(NUM_WINDOWS))
    assert_same(learnt(config), learnt_without_ray(history, tmp_path / "alone", workers=1))


def submit_command(cluster: Cluster, config: Path, *options: str) -> list[str]:
    words = ["--address", cluster.dashboard, "--runtime-env", str(RUNTIME_ENV), *options]
    return [RAY, "job", "submit", *words, "--", *train_command(config)]


def test_training_runs_as_a_submitted_job(history, config_file, cluster, tmp_path):
    config = parse_config(settings(history, tmp_path / "runs", workers=1), "test")
    job = subprocess.run(
        submit_command(cluster, config_file),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert job.returncode == 0, job.stdout + job.stderr
    assert f"window {NUM_WINDOWS}/{NUM_WINDOWS}" in job.stdout
    assert windows_of(config) == list(range(NUM_WINDOWS))


class Job:
    """A training that is submitted as the README says."""

    def __init__(self, cluster: Cluster, config_file: Path) -> None:
        self.client, self.name = JobSubmissionClient(cluster.dashboard), f"train-{uuid4().hex}"
        command = submit_command(cluster, config_file, "--no-wait", "--submission-id", self.name)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)

    def has_ended(self) -> bool:
        return self.client.get_job_status(self.name).is_terminal()

    def stop(self) -> str:
        """As `ray job stop` does; returns what the job has said."""
        self.client.stop_job(self.name)
        wait_for(self.has_ended, seconds=240, pause=0.2)
        return self.client.get_job_logs(self.name)


@pytest.mark.soak
def test_a_submitted_job_drains_when_it_is_stopped_and_the_next_goes_on_from_there(
    history, cluster, append_windows, tmp_path
):
    log = SqliteLog(tmp_path / "log.db")
    tables = settings(history, tmp_path / "runs", workers=1)
    tables |= {"stream": {"log": f"sqlite:///{log.path}"}}
    file, config = written(tables, tmp_path / "train.toml"), parse_config(tables, "test")
    append_windows(log, 0, 1)
    first = Job(cluster, file)
    wait_for(lambda: NUM_WINDOWS in windows_of(config), seconds=120)
    said = first.stop()
    assert f"window {NUM_WINDOWS}/{NUM_WINDOWS}" in said
    assert f"is drained, and the same command goes on: {NUM_WINDOWS + 1} windows" in said
    learnt_by_the_first = (run_folder(config) / WINDOWS).read_text()
    append_windows(log, 1, 1)
    second = Job(cluster, file)
    wait_for(lambda: NUM_WINDOWS + 1 in windows_of(config), seconds=120)
    said = second.stop()
    assert f"is drained, and the same command goes on: {NUM_WINDOWS + 2} windows" in said
    assert (run_folder(config) / WINDOWS).read_text().startswith(learnt_by_the_first)
    assert windows_of(config) == list(range(NUM_WINDOWS + 2))
    assert read_position(newest_checkpoint(run_folder(config))).offsets == {0: log.end(SAMPLES, 0)}
