"""How far a run has learnt, as its checkpoints say.

Without torch: what only reads a log's windows starts faster without its weight.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from easq.manifest import MANIFEST, DamagedError, check_files, read_manifest
from easq.train.budget import BudgetState

log = logging.getLogger(__name__)

FORMAT = 2
UNSIGNED = 1
"""Before checkpoints had a manifest; those are read as they are."""
STATE, WEIGHTS, OPTIMISERS = "state.json", "weights.safetensors", "optimisers.safetensors"
MEMORY = "memory.arrow"
"""Only where somebody has answered."""


class ForeignCheckpointError(ValueError):
    """A checkpoint of a later format, of other features or of another model."""


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


class _Format(BaseModel):
    """Of state.json, whatever else a later format has there."""

    format: int = UNSIGNED


def read_position(directory: Path) -> Position:
    """The position of a checkpoint, without its weights.

    Raises:
        DamagedError: state.json is not as it was written.
        ForeignCheckpointError: the format is not known here.
        FileNotFoundError: the checkpoint is gone.
    """
    text = (directory / STATE).read_bytes()
    if has_manifest := (directory / MANIFEST).is_file():
        check_files(directory, [STATE])
    try:
        found = _Format.model_validate_json(text).format
        if found not in (UNSIGNED, FORMAT):
            raise ForeignCheckpointError(
                f"{directory} has format {found}; this code reads {UNSIGNED} and {FORMAT}. Go on "
                "with the code that wrote it, or choose a new run.name."
            )
        position = Position.model_validate_json(text)
    except ValidationError as error:
        raise DamagedError(f"{directory / STATE} is damaged: {error.errors()[0]['msg']}") from error
    if found != UNSIGNED and not has_manifest:
        raise DamagedError(f"{directory} has no {MANIFEST}")
    return position


def check_schema(directory: Path, position: Position, schema_hash: str) -> None:
    """Refuse a checkpoint of other features (ForeignCheckpointError)."""
    if position.schema_hash != schema_hash:
        raise ForeignCheckpointError(
            f"{directory} was learnt with features {position.schema_hash}; this run has "
            f"{schema_hash}. Choose a new run.name."
        )


def check_checkpoint(directory: Path) -> None:
    """Compare every file with its digest.

    Raises:
        DamagedError: one is missing or not as it was written.
        ForeignCheckpointError: the format is not known here.
    """
    try:
        read_position(directory)
    except FileNotFoundError as error:
        raise DamagedError(f"{error.filename} is missing") from error
    if (directory / MANIFEST).is_file():
        check_files(directory, {STATE, WEIGHTS, OPTIMISERS, *read_manifest(directory)})
    else:
        log.warning("checkpoint %s is older than manifests, and is taken as it is", directory)


def newest_checkpoint(run_folder: Path) -> Path | None:
    """The checkpoint of a run that learnt most, among those whose position can be read.

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
    except (DamagedError, FileNotFoundError, NotADirectoryError) as error:
        log.warning("checkpoint %s is damaged and left out: %s", directory, error)
        return None
