"""Follows a growing file of JSON lines, such as windows.jsonl of a run's folder."""

import json
import os
from pathlib import Path
from typing import Any


class Lines:
    """Complete lines that a file gains; one that is replaced is read anew."""

    def __init__(self, path: Path, from_start: bool = True) -> None:
        self.path, self.inode, self.offset = path, 0, 0
        if not from_start:
            self.new()

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
