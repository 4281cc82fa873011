"""A service with a log of its own, and events about what it ranked."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from easq.feedback_token import FeedbackToken, key_of_log, sign
from easq.log.identity import identity
from easq.log.sqlite import SqliteLog
from serving.api import build_api
from serving.config import ServingSettings
from serving.feedback import Feedback
from serving.refresh import Refresher
from serving.replica import RankerReplica

KEY = "sixteen letters!"
PATIENT = {"log_patience_seconds": 60.0, "feedback_seconds": 3600.0}
"""Busy machines hold up a disk for seconds, and rankings of these tests are a minute old."""
ITEMS, SECONDS, ASKED = [501, 502, 503], [20.0, 8.0, 0.0], [True, False, True]
Running = Callable[..., TestClient]


@pytest.fixture
def log(tmp_path: Path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.db", partitions=2, busy_seconds=0.1)


@pytest.fixture
def running(shelf: Any, refresher: Refresher, log: SqliteLog) -> Iterator[Running]:
    """running(log, **settings): a client of a replica with version 1, which keeps its feedback."""
    shelf.publish(1)
    refresher.look()
    started: list[Feedback] = []

    def run(log: SqliteLog = log, **settings: object) -> TestClient:
        chosen = ServingSettings.model_validate(PATIENT | {"token_key": KEY} | settings)
        feedback = Feedback(log, KEY.encode(), chosen)
        started.append(feedback)
        replica = RankerReplica(chosen, refresher, "r0", feedback)
        return TestClient(build_api(replica), raise_server_exceptions=False)

    yield run
    for feedback in started:
        feedback.close()


@pytest.fixture
def client(running: Running) -> TestClient:
    return running()


@pytest.fixture
def signing_key(log: SqliteLog) -> bytes:
    return key_of_log(KEY.encode(), identity(log))


@pytest.fixture
def token(log: SqliteLog) -> Callable[..., str]:
    """token(age_seconds, **changed): of a ranking of ITEMS for user 7, offset 40."""

    def make(age_seconds: float = 60.0, key: str = KEY, of: SqliteLog = log, **changed: Any) -> str:
        issued = time.time_ns() // 1_000_000 - int(1000 * age_seconds)
        whole = FeedbackToken(
            1, 40, 7, issued, issued + 3_600_000, "r1",
            np.array(ITEMS), np.array(SECONDS, np.float32), np.array(ASKED),
        )  # fmt: skip
        return sign(whole._replace(**changed), key_of_log(key.encode(), identity(of)))

    return make


@pytest.fixture
def behaviour(token: Callable[..., str]) -> dict[str, Any]:
    return {
        "kind": "behaviour",
        "event_id": "e1",
        "token": token(),
        "item_id": 501,
        "watched_seconds": 8.5,
        "behaviours": ["effective_view", "like"],
    }


@pytest.fixture
def answer(token: Callable[..., str]) -> dict[str, Any]:
    return {
        "kind": "answer",
        "event_id": "a1",
        "token": token(),
        "item_id": 503,
        "watched_seconds": 7.0,
        "answer": "satisfied",
        "client_time_ms": time.time_ns() // 1_000_000,
    }


@pytest.fixture
def rows_of(log: SqliteLog) -> Callable[..., list[dict[str, Any]]]:
    """rows_of(topic, partition): all that the log holds there."""

    def read(topic: str, partition: int) -> list[dict[str, Any]]:
        found = log.read(topic, partition, 0)
        table = pa.table({}) if found is None else found.table
        return table.to_pylist()

    return read


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait for a fact."""

    def wait(fact: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not fact():
            assert time.monotonic() < deadline, "not within 60 s"
            time.sleep(0.01)

    return wait
