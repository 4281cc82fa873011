"""Metrics on their way to MLflow, off the training's path.

A bounded queue and a thread: logging never waits. While MLflow is away the newest entries are
kept and the oldest dropped and counted.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Metric

from easq.registry_client import MlflowAwayError, MlflowError, connect, reaching

log = logging.getLogger(__name__)

METRICS_A_CALL = 1000
ENTRIES_A_CALL = 64
RETRY_SECONDS = 5.0


class Metrics(NamedTuple):
    """What is known of one window."""

    window: int
    time_ms: int
    values: dict[str, float]


class Document(NamedTuple):
    """A JSON artefact; a later one of the same name replaces it."""

    name: str
    tree: dict[str, Any]


class Tracker:
    """Logs to one MLflow run. One writer a run: only rank 0 has one."""

    def __init__(self, uri: str, run_id: str, capacity: int = 2048) -> None:
        self.uri, self.run_id, self.capacity = uri, run_id, capacity
        self.dropped = 0
        """Entries that MLflow never got."""
        self.entries: deque[Metrics | Document] = deque()
        self.changed = threading.Condition()
        self.closing = False
        self.troubled = False
        self.thread = threading.Thread(target=self._run, name="tracker", daemon=True)
        self.thread.start()

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a window; `step` is its number, the x axis of every plot. Never waits."""
        self._put(Metrics(step, int(time.time() * 1000), dict(metrics)))

    def log_json(self, name: str, tree: dict[str, Any]) -> None:
        """An artefact `name` (with its folder), such as scores/last_window.json. Never waits."""
        self._put(Document(name, tree))

    def close(self) -> None:
        """Send what is left, if MLflow answers, and stop."""
        with self.changed:
            self.closing = True
            self.changed.notify()
        self.thread.join()
        if self.dropped:
            log.warning("%d entries never reached MLflow at %s", self.dropped, self.uri)

    def _put(self, entry: Metrics | Document) -> None:
        with self.changed:
            self.entries.append(entry)
            self._drop_oldest()
            self.changed.notify()

    def _drop_oldest(self) -> None:
        while len(self.entries) > self.capacity:
            self.entries.popleft()
            self.dropped += 1

    def _run(self) -> None:
        while batch := self._take():
            try:
                _send(self.uri, self.run_id, batch)
                self.troubled = False
            except MlflowAwayError as error:
                self._say(f"metrics are sent later: {error}")
                self._give_back(batch)
            except MlflowError as error:
                self._say(f"metrics are lost: {error}")
                self.dropped += len(batch)

    def _take(self) -> list[Metrics | Document]:
        """The oldest entries; none when closing and all are sent."""
        with self.changed:
            self.changed.wait_for(lambda: self.entries or self.closing)
            count = min(len(self.entries), ENTRIES_A_CALL)
            return [self.entries.popleft() for _ in range(count)]

    def _give_back(self, batch: list[Metrics | Document]) -> None:
        with self.changed:
            self.entries.extendleft(reversed(batch))
            self._drop_oldest()
            if not self.closing:
                self.changed.wait_for(lambda: self.closing, RETRY_SECONDS)
                return
            self.dropped += len(self.entries)
            self.entries.clear()

    def _say(self, sentence: str) -> None:
        if not self.troubled:
            log.warning(sentence)
        self.troubled = True


def _send(uri: str, run_id: str, batch: list[Metrics | Document]) -> None:
    client = connect(uri)
    with reaching(uri):
        _send_metrics(client, run_id, [e for e in batch if isinstance(e, Metrics)])
        newest = {e.name: e.tree for e in batch if isinstance(e, Document)}
        for name, tree in newest.items():
            client.log_dict(run_id, tree, name)


def _send_metrics(client: MlflowClient, run_id: str, entries: list[Metrics]) -> None:
    metrics = [
        Metric(name, value, entry.time_ms, entry.window)
        for entry in entries
        for name, value in entry.values.items()
    ]
    for start in range(0, len(metrics), METRICS_A_CALL):
        client.log_batch(run_id, metrics[start : start + METRICS_A_CALL])
