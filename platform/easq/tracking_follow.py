"""Carries what a training writes into its run's folder to MLflow, from the driver.

Workers know no MLflow: they add a line of metrics a window to windows.jsonl and replace
last_scores.json, the histograms of train/histogram.py.
"""

import json
import threading
from pathlib import Path

from easq.registry_client import MlflowAwayError, connect, reaching
from easq.tracking import LAST_SCORES
from easq.tracking_thread import Tracker
from easq.train.lines import Lines
from easq.train.run_folder import SCORES, WINDOWS

POLL_SECONDS = 1.0


class RunFollower:
    """A thread that logs each window of a run's folder once, also over restarts."""

    def __init__(self, run_dir: Path, tracker: Tracker) -> None:
        self.run_dir, self.tracker = run_dir, tracker
        self.logged = _logged(tracker)
        self.windows = Lines(run_dir / WINDOWS)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="run-follower", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Log what is left, and close the tracker."""
        self.stopping.set()
        self.thread.join()
        try:
            self._log_new()
            if (scores := self.run_dir / SCORES).is_file():
                self.tracker.log_json(LAST_SCORES, json.loads(scores.read_text()))
        finally:
            self.tracker.close()

    def _run(self) -> None:
        while not self.stopping.wait(POLL_SECONDS):
            self._log_new()

    def _log_new(self) -> None:
        for record in self.windows.new():
            window = record.pop("window")
            if window > self.logged:
                self.tracker.log(window, {k: v for k, v in record.items() if _is_number(v)})
                self.logged = window


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _logged(tracker: Tracker) -> int:
    """The newest window that MLflow has; -1 when there is none, or nobody to ask."""
    try:
        client = connect(tracker.uri)
        with reaching(tracker.uri):
            history = client.get_metric_history(tracker.run_id, "step")
    except MlflowAwayError:
        return -1
    return max((point.step for point in history), default=-1)
