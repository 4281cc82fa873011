"""Services that run beside a command: started with it, stopped with it, by their own process id."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from jobs.session import end_session

STOP_SECONDS = 30


class Service(NamedTuple):
    """A process of its own session, and the file its output goes to."""

    name: str
    process: subprocess.Popen
    log: Path

    def check(self) -> None:
        """Raises RuntimeError with the end of its log if the service has ended."""
        if self.process.poll() is not None:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{tail}")


@contextmanager
def service(
    name: str, module: list[str], log: Path, environment: dict[str, str]
) -> Iterator[Service]:
    """Run `python -m module ...` until the block ends: SIGTERM, then SIGKILL to what is left."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        yield Service(name, process, log)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    end_session(process.pid)


def wait_for(path: Path, owner: Service, seconds: float) -> str:
    """The contents of a file that a service writes when it is ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        owner.check()
        if path.is_file() and (text := path.read_text()):
            return text
        time.sleep(0.1)
    raise RuntimeError(f"{owner.name} was not ready after {seconds:.0f} s; see {owner.log}")
