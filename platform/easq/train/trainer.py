"""Training on a Ray cluster: one long `TorchTrainer.fit()`, a stream of windows for each worker."""

import math
import os
from functools import partial

import ray
from ray.data import DataContext
from ray.train import (
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)
from ray.train.torch import TorchConfig, TorchTrainer

from easq.history import History
from easq.stream import READ_CPUS, StreamEach, Windows, share_dataset, unlearnt
from easq.train.config import TrainConfig, WorkersSection
from easq.train.failures import Failures
from easq.train.latest import Latest, read_latest
from easq.train.run_folder import Claim, check_begun, claim, run_folder
from easq.train.worker import STREAM, train_on_stream

COLLECTIVE_TIMEOUT_S = 120
"""After so long a worker that waits for another gives up, and the group is started again."""


def complete(config: TrainConfig) -> Latest | None:
    """The last checkpoint of a run that has learnt its whole history.

    Raises:
        ValueError: the run was begun with settings or samples that give other weights.
        FileNotFoundError: there are no samples.
    """
    history, folder = History.open(config.data.history), run_folder(config)
    check_begun(config, history.description)
    latest = read_latest(folder)
    done = latest is not None and latest.window >= len(history.windows(max_requests(config)))
    return latest if done else None


def fit(config: TrainConfig) -> Latest:
    """Train to the end of the history on the connected cluster, from where the run stopped.

    A complete run is left as it is.

    Raises:
        ValueError: the run was begun otherwise, the samples are damaged, or the cluster is too
            small for it.
        FileNotFoundError: there are no samples.
        ray.train.TrainingFailedError: the workers failed more than `workers.max_failures` times.
    """
    if (latest := complete(config)) is not None:
        return latest
    history = History.open(config.data.history)
    history.verify()
    check_cluster(config.workers)
    own = claim(config, history.description)
    _trainer(own).fit()
    if (latest := read_latest(run_folder(config))) is None:
        raise ValueError(f"{config.data.history} holds no requests to learn from")
    return latest


def max_requests(config: TrainConfig) -> int | None:
    return None if config.data.window == "day" else config.data.window


def check_cluster(workers: WorkersSection) -> None:
    """Refuse what the cluster could never start: Ray would wait for ever, without a word."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = sum(node.get("GPU", 0) for node in nodes)
    places = sum(_places(node, workers) for node in nodes)
    needed = workers.num * (workers.threads + READ_CPUS)
    if places < workers.num or cpus < needed:
        gpu = " and a GPU" if workers.use_gpu else ""
        raise ValueError(
            f"{workers.num} workers with {workers.threads} CPU{gpu} each, and {READ_CPUS} CPU "
            f"each to read, need {needed:g} CPUs; the cluster has {cpus:g} CPUs and {gpus:g} GPUs "
            f"on {len(nodes)} nodes. Lower workers.num or workers.threads, or give Ray more "
            f"(`ray start --num-cpus {math.ceil(needed)}`)."
        )


def _places(node: dict[str, float], workers: WorkersSection) -> int:
    """How many workers fit on a node."""
    by_cpu = int(node.get("CPU", 0) // workers.threads)
    return min(by_cpu, int(node.get("GPU", 0))) if workers.use_gpu else by_cpu


def _trainer(own: Claim) -> TorchTrainer:
    config = own.config
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    DataContext.get_current().enable_progress_bars = False
    workers = config.workers
    windows = Windows(config.data.history, max_requests(config))
    source = partial(unlearnt, windows, run_folder(config))
    return TorchTrainer(
        train_on_stream,
        train_loop_config={"claim": own},
        torch_config=TorchConfig(backend=workers.backend, timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=workers.num,
            use_gpu=workers.use_gpu,
            resources_per_worker={"CPU": workers.threads} | ({"GPU": 1} if workers.use_gpu else {}),
        ),
        run_config=RunConfig(
            name=config.run.name,
            storage_path=str(config.run.storage),
            failure_config=FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=config.checkpoint.keep),
            callbacks=[Failures(run_folder(config))],
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
        datasets={STREAM: lambda: share_dataset(source(0, 1))},  # StreamEach takes its name
        dataset_config=StreamEach(source),
    )
