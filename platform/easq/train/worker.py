"""What Ray Train runs on each worker: a run's work, fed by this worker's dataset."""

from pathlib import Path
from typing import Any, cast

import ray.train
import torch
from ray.data import DataIterator
from ray.train import Checkpoint, CheckpointUploadMode
from ray.train.torch import get_device

from easq.stream import shares
from easq.train.collective import rank
from easq.train.position import Position
from easq.train.run_folder import Claim
from easq.train.work import Work

STREAM = "train"
"""Name of the dataset."""


def train_on_stream(job: dict[str, Any]) -> None:
    """Learn the windows of this worker's dataset, from the newest checkpoint on.

    `job` holds the `claim` of the run's start. A run with a log begins pass after pass, until it
    is to be drained.
    """
    own: Claim = job["claim"]
    device = get_device() if own.config.workers.use_gpu else torch.device("cpu")
    work = Work(own, device, _report)
    shard = cast(DataIterator, ray.train.get_dataset_shard(STREAM))
    endless = own.config.stream is not None
    while not work.learn_pass(shares(shard, ahead=0 if endless else 1)) and endless:
        pass
    work.checkpoint()


def _report(path: Path, position: Position) -> None:
    """Tell Ray Train of a checkpoint; it returns once all workers have told of it."""
    ray.train.report(
        {"window": position.next_window, "step": position.step},
        Checkpoint(str(path)) if rank() == 0 else None,
        checkpoint_dir_name=path.name,
        checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
    )
