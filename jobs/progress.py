"""What a running training says: a line a window, and a bar where somebody watches."""

import threading
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from easq.train.lines import Lines
from easq.train.run_folder import FAILURES, WINDOWS

POLL_SECONDS = 0.25
SHOWN = {
    "loss/main": "main",
    "loss/satisfaction": "satisfaction",
    "loss/alignment": "alignment",
    "behaviour/ndcg_5": "NDCG@5 behaviour",
    "satisfaction/ndcg_5": "NDCG@5 answers",
}


class TrainingProgress:
    """Follows the folder of a run in a thread, and prints."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.console = console
        self.windows = Lines(folder / WINDOWS)
        self.failures = Lines(folder / FAILURES, from_start=False)
        self.shown = max((record["window"] for record in self.windows.new()), default=-1)
        self.bar = Progress(
            TextColumn("window"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("windows", total=None)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self.bar.start()
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()
        self.bar.stop()

    def _follow(self) -> None:
        while not self.stopping.wait(POLL_SECONDS):
            self._show()
        self._show()

    def _show(self) -> None:
        for failure in self.failures.new():
            self.console.print(f"worker {failure['rank']} failed: {failure['error']}")
        for record in self.windows.new():
            if record["window"] > self.shown:
                self.shown = record["window"]
                self.console.print(line(record))
            done = record["window"] + 1
            self.bar.update(self.task, completed=done, total=record["num_windows"])


def line(record: dict[str, Any]) -> str:
    """One window in a line: place, day, speed, losses, and NDCG before it was learnt from."""
    values = [f"{name} {record[key]:.4f}" for key, name in SHOWN.items() if key in record]
    place = f"window {record['window'] + 1}/{record['num_windows']}  {record['day']}"
    speed = f"{record['requests']:,} requests  {record['requests_per_second']:,.0f}/s"
    return "  ".join([place, speed, *values])
