"""What a running training says: a line a window, and a bar where somebody watches."""

import threading
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from easq.train.lines import Lines
from easq.train.run_folder import FAILURES, QUARANTINE, WINDOWS

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
        self.given_up = Lines(folder / QUARANTINE)
        self.left_out = {window["window"] for window in self.given_up.new()}
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
        for window in self.given_up.new():
            if window["window"] not in self.left_out:
                self.left_out.add(window["window"])
                self.console.print(told_of_quarantine(window))
        for record in self.windows.new():
            if record["window"] > self.shown:
                self.shown = record["window"]
                self.console.print(line(record))
            done = record["window"] + 1
            total = record["num_windows"] if done <= record["num_windows"] else None
            self.bar.update(self.task, completed=done, total=total)


def line(record: dict[str, Any]) -> str:
    """One window in a line: place, day, speed, losses, and NDCG before it was learnt from.

    A window of the log has no last one to be counted to; it has a lag behind its sealing.
    """
    values = [f"{name} {record[key]:.4f}" for key, name in SHOWN.items() if key in record]
    done, total = record["window"] + 1, record["num_windows"]
    place = f"window {done}{f'/{total}' if done <= total else ''}  {record['day']}"
    speed = f"{record['requests']:,} requests  {record['requests_per_second']:,.0f}/s"
    lag = [f"lag {record['lag_seconds']:.1f} s"] if "lag_seconds" in record else []
    return "  ".join([place, speed, *lag, *values])


def told_of_quarantine(window: dict[str, Any]) -> str:
    removed = f"; {window['removed']} older files are removed" if window["removed"] else ""
    return (
        f"window {window['window'] + 1} is left out, {window['reason']}: {window['requests']} "
        f"requests, kept in the run's folder {window['rows']}{removed}"
    )
