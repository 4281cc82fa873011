"""A short-lived folder of one process. What processes left that were killed goes later.

It lies in /tmp, for paths of sockets must be short.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from easq.log.lease import lease

PLACE = Path("/tmp")
OWNER = "owner.lock"
"""Locked for as long as the owner lives."""
SETTLED_SECONDS = 60.0
"""A younger folder may be about to be locked, or in use by children of an owner just killed."""
REMOVE_SECONDS = 3.0


@contextmanager
def own_folder(prefix: str) -> Iterator[Path]:
    """A new private folder; it goes in the end, with those of the prefix that nobody owns."""
    remove_abandoned(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=PLACE))
    with lease(folder / OWNER):
        try:
            yield folder
        finally:
            _remove(folder)


def remove_abandoned(prefix: str) -> None:
    """Remove folders whose owner has died without a chance to do so."""
    for owner in PLACE.glob(f"{prefix}*/{OWNER}"):
        try:
            if time.time() - owner.stat().st_mtime < SETTLED_SECONDS:
                continue
            with lease(owner):
                shutil.rmtree(owner.parent, ignore_errors=True)
        except (ValueError, OSError):  # it has an owner, is somebody else's, or has just gone
            continue


def _remove(folder: Path) -> None:
    """Children that are about to end still write their last lines."""
    end = time.monotonic() + REMOVE_SECONDS
    while folder.exists() and time.monotonic() < end:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)
