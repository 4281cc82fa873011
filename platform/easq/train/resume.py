"""Which checkpoint a run goes on from: the newest whose files are as they were written.

A damaged one is put aside under another name, so that all who look for the newest find the one
before: workers, the stream, and the joiner, which keeps what that one has yet to learn.
"""

import logging
import shutil
from pathlib import Path

import torch

from easq.manifest import DamagedError
from easq.train.checkpoints import CHECKPOINT, DAMAGED, checkpoint_path, kept_windows
from easq.train.collective import all_max
from easq.train.position import (
    check_checkpoint,
    check_schema,
    newest_checkpoint,
    read_position,
)
from easq.train.run_folder import Claim, check_claim

log = logging.getLogger(__name__)

NONE_YET, NONE_SOUND, UNTOLD = -1, -2, -3


class NoCheckpointError(ValueError):
    """A run has learnt before, and no checkpoint of it is sound."""


def newest_sound(folder: Path, own: Claim) -> int:
    """Its `next_window`, or NONE_YET, or NONE_SOUND; damaged ones are put aside."""
    for window in reversed(kept_windows(folder)):
        path = checkpoint_path(folder, window)
        try:
            check_checkpoint(path)
        except DamagedError as error:
            check_claim(folder, own)
            aside = checkpoint_path(folder, window, DAMAGED)
            log.warning(
                "checkpoint %s is put aside as %s, and the one before it is tried: %s",
                *(path, aside.name, error),
            )
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        else:
            return window
    return NONE_SOUND if kept_windows(folder, DAMAGED) else NONE_YET


def agreed(found: int, folder: Path, device: torch.device) -> Path | None:
    """The checkpoint that rank 0 has found. All workers call it, the others with UNTOLD.

    Raises:
        NoCheckpointError: on all workers.
    """
    window = int(all_max(torch.tensor([found], dtype=torch.int64, device=device)))
    if window == NONE_SOUND:
        raise _no_checkpoint(folder)
    return None if window == NONE_YET else checkpoint_path(folder, window)


def check_resumable(folder: Path, schema_hash: str) -> None:
    """See before workers start that they can go on; what weights hold is for them to check.

    Raises:
        NoCheckpointError: the run has learnt before, and no checkpoint can be read.
        ForeignCheckpointError: the newest is of other features or of a later format.
    """
    newest = newest_checkpoint(folder)
    if newest is not None:
        check_schema(newest, read_position(newest), schema_hash)
    elif kept_windows(folder) or kept_windows(folder, DAMAGED):
        raise _no_checkpoint(folder)


def _no_checkpoint(folder: Path) -> NoCheckpointError:
    kinds = [
        (kind, window) for kind in (CHECKPOINT, DAMAGED) for window in kept_windows(folder, kind)
    ]
    problems = [_problem(checkpoint_path(folder, window, kind)) for kind, window in kinds]
    return NoCheckpointError(
        f"no checkpoint in {folder} is sound: {'; '.join(filter(None, problems))}. Put one back "
        f"from a backup, named {CHECKPOINT}… as it was, or choose a new run.name."
    )


def _problem(checkpoint: Path) -> str:
    try:
        check_checkpoint(checkpoint)
    except DamagedError as error:
        return str(error)
    return ""
