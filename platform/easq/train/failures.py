"""Why workers failed, in a line where whoever watches the run sees it."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from easq.train.run_folder import FAILURES, append_line

RAISED = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt|Died)\b.*: .+")


class Failures(UserCallback):
    """Adds a line to the run's folder for each worker that failed.

    Ray Train may tell of one failure twice; the same told again is left out.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FAILURES
        self.told: dict[int, str] = {}

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        reasons = {rank: reason(error) for rank, error in worker_exceptions.items()}
        if reasons != self.told:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            for rank, text in reasons.items():
                append_line(self.path, {"rank": rank, "error": text, "failed_at": at})
        self.told = reasons


def reason(error: Exception) -> str:
    """The last raised error that a message with tracebacks and advice quotes, else its start."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if RAISED.match(line)]
    return (raised or lines[:1] or [type(error).__name__])[-1]
