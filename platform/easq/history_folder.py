"""A history's folder: written beside its place and renamed, so a half-written one is never read."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from easq.history import Description, History
from easq.log.lease import brief_lease


@contextmanager
def building(root: Path) -> Iterator[Path]:
    """A new folder beside `root` for the days of a history; it goes unless it was completed.

    Raises:
        ValueError: `root` is a folder with other things in it, or another process writes it.
    """
    root = root.resolve()
    check_replaceable(root)
    folder = root.with_name(f".{root.name}.building")
    with brief_lease(root.with_name(f".{root.name}.lock")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def complete(root: Path, folder: Path, description: Description) -> History:
    """Put a folder of `building` in the place of `root`, with its description.

    Raises:
        ValueError: there is no sample in it, or a day is missing.
    """
    root = root.resolve()
    if not description.requests:
        raise ValueError(f"there is no sample to write to {root}: every row was put aside")
    if missing := [day.day for day in description.days if not (folder / day.file).is_file()]:
        raise ValueError(f"{', '.join(missing)} of {root} was written where this process is not")
    (folder / "dataset.json").write_text(description.model_dump_json(indent=2))
    _replace(root, folder)
    return History(root, description)


def check_replaceable(root: Path) -> None:
    """Refuse to write over anything that is not a history; makes the folder it is to lie in.

    Raises:
        ValueError: `root` holds other things.
        OSError: there can be no folder of that name.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    is_other = root.exists() and not (root / "dataset.json").is_file()
    if is_other and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(
            f"{root} holds other things than samples; name a new folder, or an earlier import"
        )


def _replace(root: Path, building: Path) -> None:
    """Put the new folder in the old one's place; a crash leaves one of them whole."""
    old = root.with_name(f".{root.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if root.exists():
            root.rename(old)
        building.rename(root)
    finally:
        if old.exists() and not root.exists():
            old.rename(root)
    shutil.rmtree(old, ignore_errors=True)
