"""A driver ends with the Ray that it has started.

A driver whose gcs_server is gone goes on for a minute, and waits for what never comes. Whoever
supervises it can start again at once what has ended.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTS = ("gcs_server", "raylet")
LOOK_SECONDS = 0.5


@contextmanager
def ended_with_ray() -> Iterator[None]:
    """End this process, with status 1 and at once, when its gcs_server or its raylet has ended.

    To be left before Ray is shut down. Without /proc nothing is watched.
    """
    parts, stopping = ray_parts(), threading.Event()
    threading.Thread(target=_watch, args=(parts, stopping), name="ray-watch", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()


def ray_parts() -> dict[int, str]:
    """Names of Ray's own processes among the children of this one, by process id."""
    found = {int(path.parent.name): _stat(path) for path in Path("/proc").glob("[0-9]*/stat")}
    return {
        pid: name
        for pid, (name, _, parent) in found.items()
        if name in PARTS and parent == os.getpid()
    }


def _watch(parts: dict[int, str], stopping: threading.Event) -> None:
    while not stopping.wait(LOOK_SECONDS):
        gone = [name for pid, name in parts.items() if not _lives(pid)]
        if gone and not stopping.is_set():
            print(f"Ray's {' and '.join(gone)} has ended, and with it this process", flush=True)
            _end(parts)


def _end(parts: dict[int, str]) -> None:
    """Ray's workers end with its raylet."""
    for pid in parts:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(1)


def _lives(pid: int) -> bool:
    _, state, _ = _stat(Path(f"/proc/{pid}/stat"))
    return state not in "ZX"


def _stat(path: Path) -> tuple[str, str, int]:
    """Name, state and parent; state X: it is gone."""
    try:
        text = path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "", "X", 0
    head, _, tail = text.rpartition(")")
    state, parent = tail.split()[:2]
    return head.partition("(")[2], state, int(parent)
