"""Training on a Ray cluster: one long `TorchTrainer.fit()`, each worker with its own windows."""

import math
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import uuid4

import ray
from ray.train import (
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from easq.history import History
from easq.train.config import READ_CPUS, TrainConfig, WorkersSection
from easq.train.drain import ask_to_drain, running
from easq.train.failures import Failures
from easq.train.hung_workers import HUNG_SECONDS, HungWorkers
from easq.train.latest import Latest, read_latest
from easq.train.methods import check_checkpointed
from easq.train.resume import check_resumable
from easq.train.run_folder import (
    RAY_TRAIN,
    Start,
    check_begun,
    claim,
    next_incarnation,
    run_folder,
)
from easq.train.tail import check_kept, stretch_of
from easq.train.worker import train_on_stream

COLLECTIVE_TIMEOUT_S = 120
"""After so long a worker that waits for another gives up, and the group is started again."""
HEALTH = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": str(HUNG_SECONDS),
}
"""Unless the environment says otherwise."""


def complete(config: TrainConfig) -> Latest | None:
    """The last checkpoint of a run that has learnt its whole history and follows no log.

    Raises:
        ValueError: the run was begun with settings or samples that give other weights, or its
            method is for comparisons alone.
        FileNotFoundError: there are no samples.
    """
    check_checkpointed(config)
    history, folder = History.open(config.data.history), run_folder(config)
    check_begun(config, history.description)
    if config.stream is not None:
        return None
    latest = read_latest(folder)
    done = latest is not None and latest.window >= len(history.windows(config.data.max_requests))
    return latest if done else None


def fit(
    config: TrainConfig,
    begin: Callable[[], object] = lambda: None,
    turn: Callable[[], bool] | None = None,
) -> Latest:
    """Train to the end of the history on the connected cluster, from where the run stopped.

    A complete run is left as it is. One with a log goes on with that until it is drained: by
    `easq.train.drain`, or by a SIGINT or SIGTERM; a SIGINT after that aborts it. The handlers
    stay, so that the caller closes what it has in peace; `signals_kept` puts them back.

    Args:
        begin: comes before the run is claimed.
        turn: of a run that another driver trains. Waits for that one's end, in a thread, while
            the workers of this one start and wait too; says whether to go on.

    Raises:
        ValueError: the run was begun otherwise, the samples are damaged or were trimmed before
            it learnt them, no checkpoint of it is sound, or the cluster is too small for it.
        FileNotFoundError: there are no samples.
        ray.train.TrainingFailedError: the workers failed more than `workers.max_failures` times.
    """
    if (latest := complete(config)) is not None:
        return latest
    history = History.open(config.data.history)
    history.verify()
    schema_hash = history.description.features.schema_hash
    check_resumable(run_folder(config), schema_hash)
    check_cluster(config.workers)
    if config.stream is not None:
        check_kept(stretch_of(config, config.stream))
    start = Start(config, uuid4().hex, next_incarnation(config, history.description))
    trainer = _trainer(start)

    def claim_now() -> None:
        begin()
        claim(config, history.description, start.token)
        trainer.claimed.set()

    if turn is None:
        claim_now()
    else:
        threading.Thread(target=_in_turn, args=(turn, claim_now), daemon=True).start()
    with running(run_folder(config)):
        trainer.fit()
    check_resumable(run_folder(config), schema_hash)
    if (latest := read_latest(run_folder(config))) is None:
        raise ValueError(f"{config.data.history} holds no requests to learn from")
    return latest


def check_cluster(workers: WorkersSection) -> None:
    """Refuse what the cluster could never start: Ray would wait for ever, without a word."""
    nodes = [node["Resources"] for node in ray.nodes() if _may_run(node, workers)]
    cpus = sum(node.get("CPU", 0) for node in nodes)
    gpus = sum(node.get("GPU", 0) for node in nodes)
    places = sum(_places(node, workers) for node in nodes)
    if places < workers.num or cpus < workers.cpus:
        gpu = " and a GPU" if workers.use_gpu else ""
        where = "".join(f" labelled {name}={value}" for name, value in workers.labels.items())
        raise ValueError(
            f"{workers.num} workers with {workers.threads} CPU{gpu} each, and {READ_CPUS} CPU "
            f"each to read, need {workers.cpus:g} CPUs; the cluster has {cpus:g} CPUs and "
            f"{gpus:g} GPUs on {len(nodes)} nodes{where}. Lower workers.num or workers.threads, or "
            f"give Ray more (`ray start --num-cpus {math.ceil(workers.cpus)}`)."
        )


def _may_run(node: dict[str, Any], workers: WorkersSection) -> bool:
    """Whether a node is up and has the labels that workers ask for."""
    return node["Alive"] and workers.labels.items() <= node["Labels"].items()


def _places(node: dict[str, float], workers: WorkersSection) -> int:
    """How many workers fit on a node."""
    by_cpu = int(node.get("CPU", 0) // workers.threads)
    return min(by_cpu, int(node.get("GPU", 0))) if workers.use_gpu else by_cpu


def _in_turn(turn: Callable[[], bool], claim_now: Callable[[], None]) -> None:
    """In a thread. What fails ends the process, and meets whoever starts it again."""
    try:
        if turn():
            claim_now()
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        os._exit(1)


class _Drainable(TorchTrainer):
    """Drains at the first signal. Ray's way with a signal, to abort, follows at the second.

    Before the run is claimed a signal ends this driver alone.
    """

    folder: Path
    claimed: threading.Event

    def _register_sigint_handler(self, controller: Any) -> None:
        super()._register_sigint_handler(controller)
        drain_first(self.folder, signal.getsignal(signal.SIGINT), self.claimed)

    def _create_default_callbacks(self) -> list[Any]:
        """Without two processes: one deals datasets out to workers, but each has one of its own;
        one frees what a controller held whose driver lives on, but ours ends with it."""
        unused = DatasetsCallback, PlacementGroupCleanerCallback
        callbacks = super()._create_default_callbacks()
        return [HungWorkers(), *(each for each in callbacks if not isinstance(each, unused))]


def drain_first(folder: Path, abort: Any, claimed: threading.Event) -> None:
    """Take SIGINT and SIGTERM: ask the run to drain; a SIGINT that is not the first aborts.

    SIGTERM never does: whoever stops a process sends it without knowing that others did.
    """
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if not claimed.is_set():
            raise KeyboardInterrupt
        if asked.is_set() and number == signal.SIGINT:
            abort(number, frame)
        asked.set()
        ask_to_drain(folder)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Put handlers of SIGINT and SIGTERM back in the end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _trainer(start: Start) -> _Drainable:
    config = start.config
    os.environ.update({name: os.environ.get(name, value) for name, value in HEALTH.items()})
    workers = config.workers
    trainer = _Drainable(
        train_on_stream,
        train_loop_config={"start": start},
        torch_config=TorchConfig(backend=workers.backend, timeout_s=COLLECTIVE_TIMEOUT_S),
        scaling_config=ScalingConfig(
            num_workers=workers.num,
            use_gpu=workers.use_gpu,
            resources_per_worker={"CPU": workers.threads} | ({"GPU": 1} if workers.use_gpu else {}),
            label_selector=workers.labels or None,
        ),
        run_config=RunConfig(
            name=RAY_TRAIN,
            storage_path=str(run_folder(config)),
            failure_config=FailureConfig(max_failures=workers.max_failures),
            callbacks=[Failures(run_folder(config))],
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )
    trainer.folder, trainer.claimed = run_folder(config), threading.Event()
    return trainer
