"""Ends the parts of a supervisor that was killed, which could not do it itself.

Usage: python -m jobs.guard    (a supervisor starts it, and says on its stdin what there is)
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from jobs.session import end_session, members

POLL_SECONDS = 0.05


class Guarded(NamedTuple):
    leader: int
    """Process id of a part, which leads a session."""
    patience_seconds: float


class Guard:
    """The supervisor's side: a process that learns of the supervisor's end as its pipe closes.

    Args:
        held: descriptors of locks, which are then free when the last part has ended.
    """

    def __init__(self, held: Sequence[int] = ()) -> None:
        self.held = held
        self.process: subprocess.Popen[str] | None = None

    def watch(self, parts: list[Guarded]) -> None:
        """From now on these are to be ended. One that has died itself is started again."""
        if self.process is None or self.process.poll() is not None:
            if not parts:
                return
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs.guard"],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
                pass_fds=self.held,
            )
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # the next call starts another
            self.process.stdin.write(json.dumps(parts) + "\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """There is nothing left to end."""
        self.watch([])
        if self.process is not None:
            self.process.communicate()
            self.process = None


def main() -> None:
    parts: list[Guarded] = []
    for line in sys.stdin:
        if line.endswith("\n"):
            parts = [Guarded(*part) for part in json.loads(line)]
    end_all(parts)


def end_all(parts: list[Guarded]) -> None:
    """The last started first, as others need those before it: SIGTERM, patience, then SIGKILL to
    what is left; without /proc, no patience."""
    for part in reversed(parts):
        with suppress(ProcessLookupError):
            os.kill(part.leader, signal.SIGTERM)
        deadline = time.monotonic() + part.patience_seconds
        while part.leader in members(part.leader) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        end_session(part.leader)


if __name__ == "__main__":
    main()
