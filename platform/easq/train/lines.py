"""Follows a growing file of JSON lines, such as windows.jsonl of a run's folder."""

import json
import os
from pathlib import Path
from typing import Any

from easq.train.durable import replace_file

TAIL_BYTES = 1 << 20
"""Any line is shorter."""
MOST_BYTES = 64 << 20
"""Half a day of windows of a second; MLflow has those before."""


class Lines:
    """Complete lines that a file gains; one that is replaced is read anew."""

    def __init__(self, path: Path, from_start: bool = True) -> None:
        self.path, self.inode, self.offset = path, 0, 0
        if not from_start and path.is_file():
            self.inode, self.offset = path.stat().st_ino, _end(path)

    def new(self) -> list[dict[str, Any]]:
        """Lines that were completed since the last call."""
        if not self.path.is_file():
            return []
        with self.path.open("rb") as file:
            if (inode := os.fstat(file.fileno()).st_ino) != self.inode:
                self.inode, self.offset = inode, 0
            file.seek(self.offset)
            complete, newline, _ = file.read().rpartition(b"\n")
        self.offset += len(complete) + len(newline)
        return [json.loads(line) for line in complete.splitlines()]


def last_line(path: Path) -> dict[str, Any] | None:
    """The newest complete line, without reading those before it."""
    lines = _tail(path, TAIL_BYTES).splitlines()[-1:] if path.is_file() else []
    return json.loads(lines[0]) if lines else None


def thin(path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Let go of the older half of the lines of a file that has grown too large.

    For its only writer; readers find a new file, whose lines they may have had before.
    """
    if path.stat().st_size > most_bytes:
        tail = _tail(path, most_bytes // 2)
        replace_file(path, tail[tail.index(b"\n") + 1 :].decode())


def _end(path: Path) -> int:
    """Where complete lines end."""
    return path.stat().st_size - len(_tail(path, TAIL_BYTES, cut=False).rpartition(b"\n")[2])


def _tail(path: Path, most: int, cut: bool = True) -> bytes:
    """The last bytes of a file; `cut`: without a line that is not complete."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        data = file.read()
    complete, newline, _ = data.rpartition(b"\n")
    return complete + newline if cut else data
