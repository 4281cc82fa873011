"""Files that are whole after a crash and after a power cut, or not there."""

import os
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel, ValidationError

Contents = TypeVar("Contents", bound=BaseModel)


def replace_file(path: Path, text: str) -> None:
    """Write a file whole: a reader sees the old contents or the new, of one writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex}.building")
    try:
        building.write_text(text)
        _sync(building)
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    _sync(path.parent)


def swap_file(path: Path, text: str) -> None:
    """Write a file whole, a writer a process; a power cut may leave the old contents or none."""
    building = path.with_name(f".{path.name}.{os.getpid()}.building")
    building.write_text(text)
    building.replace(path)


def put_folder(building: Path, path: Path) -> None:
    """Give a folder of files its name, once all that is in it is on the disk."""
    for file in building.iterdir():
        _sync(file)
    _sync(building)
    building.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_model(path: Path, kind: type[Contents]) -> Contents:
    """A JSON file of a run's folder.

    Raises:
        ValueError: it was cut short or edited.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        what = f"{place}: {problem['msg']}" if place else problem["msg"]
        raise ValueError(
            f"{path} cannot be read: {what}. Restore it, or choose a new run.name."
        ) from error
