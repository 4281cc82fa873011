"""Asking a run to stop at the end of a window, with a checkpoint of all that it has learnt."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DRAIN, RUNNING = "drain", "running"


def ask_to_drain(folder: Path) -> None:
    (folder / DRAIN).touch()


def drain_asked(folder: Path) -> bool:
    return (folder / DRAIN).exists()


def forget_drain(folder: Path) -> None:
    (folder / DRAIN).unlink(missing_ok=True)


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Marks the run as in training for as long as this process lives; several may at once."""
    with (folder / RUNNING).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_running(folder: Path) -> bool:
    """Whether any process trains the run, by the lock that dies with its holder."""
    if not (folder / RUNNING).is_file():
        return False
    with (folder / RUNNING).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
