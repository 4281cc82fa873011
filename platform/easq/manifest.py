"""manifest.json of a folder: the sha256 of each of its files. Versions and checkpoints have one."""

import errno
import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from easq.history import sha256_of

MANIFEST = "manifest.json"
DIGESTS = TypeAdapter(dict[str, str])


class DamagedError(ValueError):
    """A file is missing, or not as it was written."""


def write_manifest(directory: Path, names: Iterable[str]) -> None:
    """Comes last: a folder that has it has all else."""
    digests = {name: sha256_of(directory / name) for name in names}
    (directory / MANIFEST).write_text(json.dumps(digests, indent=2))


def check_files(directory: Path, names: Iterable[str]) -> None:
    """Compare files with the manifest, which must have them.

    Raises:
        DamagedError: one is missing or differs, or the manifest does.
    """
    digests = read_manifest(directory)
    for name in names:
        path = directory / name
        if not path.is_file() or _read_digest(path) != digests.get(name):
            raise DamagedError(f"{path} is missing or damaged (sha256 differs)")


def _read_digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedError(f"{path} cannot be read from its disk: {error}") from error


def read_manifest(directory: Path) -> dict[str, str]:
    """Digests by name.

    Raises:
        DamagedError: it is missing or cannot be read.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise DamagedError(f"{directory} has no {MANIFEST}: it is half-written")
    try:
        return DIGESTS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise DamagedError(f"{path} is damaged: {error.errors()[0]['msg']}") from error
