"""Versions on this machine, by digest, in a folder that several replicas share.

Whoever changes the folder holds its lock. What is removed can be fetched again.
"""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from easq.artefact import check_manifest, digest_of

KEPT = 3
"""The live version, the one before it for a rollback, and one more."""
LOADING_SECONDS = 600
"""A replica that fetched a version so recently may still be loading it."""
ARRIVING, ARRIVING_SECONDS = ".arriving-", 3600
DIGEST = re.compile(r"[0-9a-f]{16}")


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    folder = os.open(cache, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def check_version(directory: Path, digest: str) -> None:
    """Refuse files that are damaged or of another version (ValueError)."""
    check_manifest(directory)
    if (found := digest_of(directory)) != digest:
        raise ValueError(f"expected a version with digest {digest}, got one with {found}")


def take(cache: Path, digest: str) -> bool:
    """Whether the version is there and whole; if so, its time is now. A damaged one goes."""
    directory = cache / digest
    if not directory.is_dir():
        return False
    try:
        check_version(directory, digest)
    except ValueError:
        shutil.rmtree(directory)
        return False
    os.utime(directory)
    return True


def evict(cache: Path) -> None:
    """Keep the newest versions and what may be loading; drop older ones and broken downloads."""
    with locked(cache):
        now = time.time()
        versions = [p for p in cache.iterdir() if DIGEST.fullmatch(p.name)]
        versions.sort(key=lambda p: p.stat().st_mtime, reverse=True)
        old = [p for p in versions[KEPT:] if _age(p, now) > LOADING_SECONDS]
        broken = [p for p in cache.glob(f"{ARRIVING}*") if _age(p, now) > ARRIVING_SECONDS]
        for path in (*old, *broken):
            shutil.rmtree(path, ignore_errors=True)


def _age(path: Path, now: float) -> float:
    return now - path.stat().st_mtime
