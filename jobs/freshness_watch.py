"""Tells whoever operates the loop when what viewers do is not learnt in time, and when it is."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel

from easq.log.connect import open_log
from easq.log.interface import Log, LogError
from easq.train.behind import Alarm, Taker, joining, seconds_behind, training
from easq.train.config import TrainConfig
from easq.train.run_folder import run_folder

LOOK_SECONDS, STOP_SECONDS = 1.0, 2.0
UNKNOWN = (LogError, OSError, ValueError)
"""What keeps from knowing how far somebody is: the log is away, a file is damaged."""


class JoinedPartition(BaseModel):
    """How far the joiner is in a partition of topic `events`."""

    next_offset: int


class Joined(BaseModel):
    """Of the joiner's status file, what the watch reads."""

    partitions: dict[int, JoinedPartition]

    def taken(self) -> dict[int, int]:
        return {partition: at.next_offset for partition, at in self.partitions.items()}


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
        """Who waits for a log that is away is not waited for."""
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _watch(self) -> None:
        log: Log | None = None
        while not self.stopping.wait(LOOK_SECONDS):
            for alarm in self.alarms:
                try:
                    log = log or open_log(self.address)
                    sentence = look(log, alarm)
                except UNKNOWN:  # of this one; the others are told of all the same
                    continue
                if sentence is not None:
                    self.say(sentence)


def look(log: Log, alarm: Alarm) -> str | None:
    """What an alarm has to tell of now. Raises one of UNKNOWN."""
    behind = seconds_behind(log, alarm.taker, time.time_ns() // 1_000_000)
    return alarm.look(behind, time.monotonic())


def training_of(config: TrainConfig) -> Taker:
    """Of a run with a log."""
    assert config.stream is not None
    name = config.run.name if config.tracking is None else config.tracking.model_name
    return training(name, run_folder(config), config.stream.fresh_seconds)


def joining_by(status: Path, limit_seconds: float) -> Taker:
    """The joiner, by the file in which it says how far it is (`jobs.join`)."""

    def taken() -> dict[int, int]:
        if not status.is_file():
            return {}
        return Joined.model_validate_json(status.read_bytes()).taken()

    return joining(taken, limit_seconds)
