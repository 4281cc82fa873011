"""Whose turn it is to train a run: of several drivers of a machine one trains, the others wait.

The lock tells that, for it is free as soon as its holder has died.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

TURN, NEXT = "turn", "next"


class Turn:
    """Of one process at a time."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def take(self, wait: bool = False) -> bool:
        """Whether it is this process's turn now."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        self.file.truncate(0)
        print(os.getpid(), file=self.file, flush=True)
        return True

    def give_back(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_UN)


@contextmanager
def turn_of(folder: Path, kind: str = TURN) -> Iterator[Turn]:
    """To be taken; given back in the end. NEXT: the turn to wait for the TURN, prepared."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / kind).open("a") as file:
        yield Turn(file)


def last_turn(folder: Path) -> int | None:
    """The process id of whose turn it is, or was; None: nobody's yet."""
    path = folder / TURN
    text = path.read_text() if path.is_file() else ""
    return int(text) if text.endswith("\n") else None
