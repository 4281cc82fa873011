"""Keeps processes running: what ends is started again, after a pause that grows with failures."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jobs.guard import Guard, Guarded
from jobs.session import end_session

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
SETTLED_SECONDS = 60.0
"""A process that lived so long has recovered: its next pause is the first again."""


class Part(NamedTuple):
    """A process to keep running: `python -m module ...`."""

    name: str
    module: list[str]
    environment: dict[str, str]
    patience_seconds: float = 30.0
    """How long it may take to stop when asked to."""
    may_finish: bool = False
    """Whether there is an end to its work. Any other part that ends, even in good order, was told
    to by a stranger and runs again."""
    needs: str | None = None
    """A part without which it would wait for what never comes: it is started again with that."""


class Supervised:
    """One part and its process of the moment."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part, self.log = part, log
        self.process: subprocess.Popen | None = None
        self.wanted = False
        self.started = self.due = 0.0
        self.pause = FIRST_PAUSE_SECONDS
        self.restarts = -1

    def start(self) -> None:
        self.wanted = True
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.part.module],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=os.environ | self.part.environment,
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.restarts += 1

    def look(self) -> str | None:
        """Start it if it is due; a sentence when it has just ended or been started again."""
        now = time.monotonic()
        if self.process is None:
            if not self.wanted or now < self.due:
                return None
            self.start()
            return f"{self.part.name} runs again (restart {self.restarts})"
        if (status := self.process.poll()) is None:
            return None
        end_session(self.process.pid)
        if status == 0 and self.part.may_finish:
            self.process, self.wanted = None, False
            return f"{self.part.name} has ended in good order and stays so"
        self.pause = (
            FIRST_PAUSE_SECONDS
            if now - self.started > SETTLED_SECONDS
            else min(2 * self.pause, LONGEST_PAUSE_SECONDS)
        )
        self.process, self.due = None, now + self.pause
        again = f"it starts again in {self.pause:g} s"
        return f"{self.part.name} ended with {status}; {again} (its output: {self.log})"

    def kill(self) -> None:
        """It starts again when it is seen to have ended."""
        if self.process is not None:
            end_session(self.process.pid)

    def ask_to_stop(self) -> None:
        if self.process is not None:
            self.process.terminate()

    def stop(self) -> None:
        """SIGTERM, patience, then SIGKILL to whatever is left of its session."""
        self.wanted = False
        if self.process is None:
            return
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.part.patience_seconds)
        end_session(self.process.pid)
        self.process.wait()
        self.process = None


class Supervisor:
    """Parts in the order of their start; they stop in the opposite order.

    If this process is killed, its guard stops them, and until then has the locks that are `held`.
    """

    def __init__(self, parts: list[Part], folder: Path, held: Sequence[int] = ()) -> None:
        self.parts = [Supervised(part, folder / f"{part.name}.log") for part in parts]
        self.guard = Guard(held)

    def start(self, *names: str) -> None:
        """Start the named parts; all, if none is named."""
        for part in self.parts:
            if not names or part.part.name in names:
                part.start()
                self._tell_guard()

    def look(self) -> list[str]:
        """What has happened since the last look; to be called a few times a second."""
        told = [sentence for part in self.parts if (sentence := self._look(part)) is not None]
        if told:
            self._tell_guard()
        return told

    def _look(self, part: Supervised) -> str | None:
        ran = part.process is not None
        sentence = part.look()
        if ran and part.process is None:
            for other in self.parts:
                if other.part.needs == part.part.name:
                    other.kill()
        return sentence

    def stop(self) -> None:
        for part in reversed(self.parts):
            part.stop()
            self._tell_guard()
        self.guard.close()

    def _tell_guard(self) -> None:
        self.guard.watch(
            [
                Guarded(part.process.pid, part.part.patience_seconds)
                for part in self.parts
                if part.process is not None
            ]
        )

    def report(self) -> dict[str, dict[str, object]]:
        """Process id, restarts and log of each part, as the state file holds them."""
        return {
            part.part.name: {
                "pid": part.process and part.process.pid,
                "restarts": part.restarts,
                "log": str(part.log),
            }
            for part in self.parts
        }
