"""One process at a time, on one machine: a lock on a file that dies with its holder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def lease(path: Path, wait: bool = False) -> Iterator[int]:
    """Hold the file's lock; so does a process that inherits the descriptor, as long as it lives.

    Raises:
        ValueError: another process holds it, and `wait` is not asked for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise ValueError(f"another process holds {path}: stop it, or leave it to it") from error
        yield file.fileno()


@contextmanager
def brief_lease(path: Path, wait: bool = False) -> Iterator[None]:
    """A lease for one piece of work; its file goes with it.

    Raises:
        ValueError: another process holds it, and `wait` is not asked for.
    """
    while True:
        with lease(path, wait) as descriptor:
            if not _is_of(path, descriptor):
                continue  # the file went with its holder just now
            try:
                yield
            finally:
                path.unlink()
            return


def _is_of(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
