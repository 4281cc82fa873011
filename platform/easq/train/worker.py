"""What Ray Train runs on each worker: a run's work, fed by this worker's dataset."""

import logging
import time
from threading import Timer
from typing import Any

import ray
import ray.train
import torch
from ray.data import Datasource
from ray.train.torch import get_device

from easq.stream import PassSource, Windows, begin_reader, share_dataset, shares, unlearnt
from easq.train.ballot import ballot
from easq.train.collective import rank, world_size
from easq.train.config import TrainConfig
from easq.train.position import Position
from easq.train.resume import NoCheckpointError
from easq.train.run_folder import Start, awaited_claim, run_folder
from easq.train.tail import stretch_of
from easq.train.vigil import watched
from easq.train.work import Work

log = logging.getLogger(__name__)

SPARES_AFTER_SECONDS = 15.0
"""A group that has just started has more urgent work for its cores."""
SPARE_START_SECONDS = 10.0


def train_on_stream(job: dict[str, Any]) -> None:
    """Learn the windows of this worker's dataset, from the newest sound checkpoint on.

    `job` holds the run's `start`, which may wait for another's end; then the workers do. A run
    with a log begins pass after pass, until it is to be drained.
    """
    begin_reader()
    start: Start = job["start"]
    config = start.config
    device = get_device() if config.workers.use_gpu else torch.device("cpu")
    if rank() == 0:
        spares = Timer(SPARES_AFTER_SECONDS, _begin_spares, (config.workers.spares,))
        spares.daemon = True
        spares.start()
    own = awaited_claim(start)
    if ballot(own is None, False, device).drain or own is None:
        return
    try:
        work = Work(own, device, _report)
    except NoCheckpointError as error:  # no further try would help; the driver raises it
        log.error("%s", error)
        return
    windows = share_dataset(_source(config), config.workers.labels).iterator()
    if config.stream is None:
        work.learn_pass(shares(windows))
    else:
        while not work.learn_pass(watched(shares(windows, ahead=0), config.workers.hang_seconds)):
            pass
    work.checkpoint()


def _begin_spares(count: int) -> None:
    """Imports are most of a group's start: what comes next finds them done."""
    spare = ray.remote(num_cpus=0)(_idle)
    for _ in range(count):
        spare.remote()


def _idle() -> None:
    """Long enough for each spare to get a process of its own."""
    time.sleep(SPARE_START_SECONDS)


def _source(config: TrainConfig) -> Datasource:
    """What this worker is to learn."""
    if config.stream is not None:
        return PassSource(stretch_of(config, config.stream), rank(), world_size())
    windows = Windows(config.data.history, config.data.max_requests)
    return unlearnt(windows, run_folder(config), rank(), world_size())


def _report(position: Position) -> None:
    """Tell Ray Train of a checkpoint; it returns once all workers have told of it.

    Ray Train does not get the checkpoint. It would know those of one driver alone, and fail on
    them where another one has gone on.
    """
    ray.train.report({"window": position.next_window, "step": position.step})
