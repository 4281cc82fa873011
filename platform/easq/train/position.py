"""How far a run has learnt, as its checkpoints say.

Without torch: what only reads a log's windows starts faster without its weight.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from easq.train.budget import BudgetState

log = logging.getLogger(__name__)

FORMAT = 1


class Position(BaseModel):
    """How far a run has learnt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    next_window: int = 0
    step: int = 0
    requests: int = 0
    history_windows: int = 0
    """How many of the windows are the history's; those of the log are counted on from there."""
    offsets: dict[int, int] = {}
    """Of each partition of topic `samples`: rows below have been learnt. Empty: none of the log."""
    budget: BudgetState | None = None
    """Of a run that keeps one."""
    schema_hash: str


def read_position(directory: Path) -> Position:
    """The position of a checkpoint, without its weights."""
    return Position.model_validate(json.loads((directory / "state.json").read_text()))


def newest_checkpoint(run_folder: Path) -> Path | None:
    """The checkpoint of a run that learnt most, among those that can be read.

    Neither latest.json nor Ray Train is asked: a crash falls between the steps of telling them.
    """
    places = {path: position.next_window for path, position in _whole(run_folder)}
    return max(places, key=places.__getitem__, default=None)


def needed_from(run_folder: Path, partition: int) -> int:
    """The first offset of a partition of `samples` that a checkpoint of a run leads on to.

    0: all of it, for a run that has learnt nothing of the log yet.
    """
    offsets = [position.offsets.get(partition, 0) for _, position in _whole(run_folder)]
    return min(offsets, default=0)


def _whole(run_folder: Path) -> Iterator[tuple[Path, Position]]:
    for path in run_folder.glob("window-*"):
        if (position := _position_if_whole(path)) is not None:
            yield path, position


def _position_if_whole(directory: Path) -> Position | None:
    try:
        return read_position(directory)
    except (json.JSONDecodeError, UnicodeDecodeError, FileNotFoundError, NotADirectoryError):
        log.warning("checkpoint %s is damaged and left out", directory)
        return None
