"""What each training worker does: score a window, learn from it, sometimes write a checkpoint.

All workers see the same windows and decide alike, so that every one joins every collective.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any, cast

import ray.train
import torch
from ray.data import DataIterator
from ray.train import Checkpoint, CheckpointUploadMode
from ray.train.torch import get_device

from easq.history import History
from easq.stream import shares
from easq.train.checkpoint import newest_checkpoint
from easq.train.collective import rank
from easq.train.config import TrainConfig
from easq.train.durable import put_folder, replace_file
from easq.train.histogram import score_histogram
from easq.train.kept_scores import keep_scores
from easq.train.latest import Latest, write_latest
from easq.train.learner import Learner, WindowScores
from easq.train.run_folder import (
    SCORES,
    WINDOWS,
    Claim,
    append_line,
    check_claim,
    forget_windows_from,
    run_folder,
)
from easq.train.share import WindowShare

STREAM = "train"
"""Name of the dataset."""


def train_on_stream(job: dict[str, Any]) -> None:
    """Learn the windows of this worker's dataset, from the newest checkpoint on.

    `job` holds the `claim` of the run's start.
    """
    own: Claim = job["claim"]
    config, folder = own.config, run_folder(own.config)
    check_claim(folder, own)
    learner = _resumed(config)
    since = time.perf_counter()
    for share in shares(cast(DataIterator, ray.train.get_dataset_shard(STREAM))):
        if share.window < learner.next_window:
            continue
        arrived = time.perf_counter()
        scores = learner.score(share)
        losses = learner.learn(share)
        record = _place(learner, share, since, arrived) | scores.metrics | losses
        due = is_due(share, config.checkpoint.every_windows)
        if due:
            record["rows/collision_share"] = learner.collision_share()
        _write(scores, record, config)
        if due:
            _checkpoint(learner, folder, own)
        since = time.perf_counter()


def _resumed(config: TrainConfig) -> Learner:
    torch.set_num_threads(config.workers.threads)
    device = get_device() if config.workers.use_gpu else torch.device("cpu")
    spec = History.open(config.data.history).description.features
    learner = Learner(config, spec, device)
    folder = run_folder(config)
    if (checkpoint := newest_checkpoint(folder)) is not None:
        learner.restore(checkpoint)
        if rank() == 0:
            write_latest(folder, _latest(learner, checkpoint))
    if rank() == 0:
        forget_windows_from(folder, learner.next_window)
    return learner


def _latest(learner: Learner, checkpoint: Path) -> Latest:
    position = learner.position
    return Latest(checkpoint=checkpoint.name, window=position.next_window, step=position.step)


def _place(learner: Learner, share: WindowShare, since: float, arrived: float) -> dict[str, Any]:
    """Where in the stream a window is, and how long it took."""
    seconds = time.perf_counter() - since
    return {
        "window": share.window,
        "num_windows": share.num_windows,
        "day": share.day,
        "step": learner.position.step,
        "requests": share.num_requests,
        "seconds": seconds,
        "seconds_waiting": arrived - since,
        "requests_per_second": share.num_requests / seconds,
    }


def _write(scores: WindowScores, record: dict[str, Any], config: TrainConfig) -> None:
    """What the window brought, where whoever watches the run sees it."""
    folder = run_folder(config)
    if config.run.keep_scores:
        keep_scores(scores, record["window"], folder)
    if rank() == 0:
        replace_file(folder / SCORES, json.dumps(score_histogram(scores.main, scores.satisfaction)))
        append_line(folder / WINDOWS, record)


def is_due(share: WindowShare, every_windows: int) -> bool:
    """Whether a checkpoint follows the window; the same after a restart as without one."""
    done = share.window + 1
    return done % every_windows == 0 or done == share.num_windows


def _checkpoint(learner: Learner, folder: Path, own: Claim) -> None:
    """Write a checkpoint and report it; all workers take part, rank 0 writes."""
    path = _save(learner, folder, own)
    position = learner.position
    ray.train.report(
        {"window": position.next_window, "step": position.step},
        Checkpoint(str(path)) if rank() == 0 else None,
        checkpoint_dir_name=path.name,
        checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
    )
    if rank() == 0:
        check_claim(folder, own)
        write_latest(folder, _latest(learner, path))


def _save(learner: Learner, folder: Path, own: Claim) -> Path:
    """A checkpoint's folder appears under its name when it is complete."""
    path = folder / f"window-{learner.next_window:06d}"
    building = path.with_name(f".{path.name}.building")
    if rank() == 0:
        check_claim(folder, own)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
    learner.save(building)
    if rank() == 0:
        shutil.rmtree(path, ignore_errors=True)
        put_folder(building, path)
    return path
