"""Tells whoever operates the loop when what viewers do is not learnt in time, and when it is."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from easq.log.connect import open_log
from easq.log.interface import Log, LogError
from easq.train.behind import Alarm, Taker, joining, seconds_behind, training
from easq.train.config import TrainConfig
from easq.train.run_folder import run_folder

LOOK_SECONDS = 1.0


class FreshnessWatch:
    """A thread with a log of its own: one that is away holds nobody up, and tells nothing."""

    def __init__(self, log: str, takers: Sequence[Taker], say: Callable[[str], object]) -> None:
        self.address, self.say = log, say
        self.alarms = [Alarm(taker) for taker in takers]
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="freshness", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        log: Log | None = None
        while not self.stopping.wait(LOOK_SECONDS):
            try:
                log = log or open_log(self.address)
                for sentence in looks(log, self.alarms):
                    self.say(sentence)
            except (LogError, OSError, ValueError):  # a file that is just being replaced, too
                continue


def looks(log: Log, alarms: Sequence[Alarm]) -> list[str]:
    """What each alarm has to tell of now. Raises LogError."""
    told = [
        alarm.look(seconds_behind(log, alarm.taker, time.time_ns() // 1_000_000), time.monotonic())
        for alarm in alarms
    ]
    return [sentence for sentence in told if sentence is not None]


def training_of(config: TrainConfig) -> Taker:
    """Of a run with a log."""
    assert config.stream is not None
    name = config.run.name if config.tracking is None else config.tracking.model_name
    return training(name, run_folder(config), config.stream.fresh_seconds)


def joining_by(status: Path, limit_seconds: float) -> Taker:
    """The joiner, by the file in which it says how far it is (`jobs.join`)."""

    def taken() -> dict[int, int]:
        found = json.loads(status.read_text())["partitions"] if status.is_file() else {}
        return {int(partition): at["next_offset"] for partition, at in found.items()}

    return joining(taken, limit_seconds)
