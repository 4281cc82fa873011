"""The end of a whole session of processes, whatever groups and parents they have by then."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_SECONDS = 10.0
"""A killed process takes a moment to be gone, and with it its ports."""
PAUSE_SECONDS = 0.02


def end_session(leader: int) -> None:
    """SIGKILL to all that is left of the session which a process began; it may have ended before.

    Ray gives its workers process groups of their own, and a killed worker leaves what it started,
    such as the proxy that holds the service's port. Without /proc only the leader's group ends.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := members(leader)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_SECONDS)


def members(leader: int) -> list[int]:
    """Living processes of a session, by Linux's /proc."""
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if _session(path) == leader
    ]


def _session(path: Path) -> int | None:
    """None: the process has ended."""
    try:
        state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(session)
