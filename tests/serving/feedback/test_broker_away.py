"""Kafka out of reach: rankings go on, events are refused, joiner and trainer wait and go on."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from easq.join import JoinConfig
from easq.join_log import JoinedPartition
from easq.join_loop import now_ms, run_join
from easq.log.connect import open_log
from easq.log.interface import EVENTS, IDENTITY, SAMPLES
from easq.log.patient import PatientLog
from easq.sealed import SealedReader, event_ids
from easq.train.tail import follow

from ...easq.log.broker_proxy import BrokerProxy
from ...easq.log.mock_kafka import MockKafka

HOUR_MS = 3_600_000
JOINING = JoinConfig(feedback_seconds=600, token_seconds=3600, window_seconds=1)


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[MockKafka]:
    brokers = MockKafka()
    for topic in (EVENTS, SAMPLES, IDENTITY):
        brokers.make_topic(f"easq.{topic}", 1)
    yield brokers
    brokers.close()


@pytest.fixture
def proxy(brokers: MockKafka) -> Iterator[BrokerProxy]:
    between = BrokerProxy(brokers.servers)
    yield between
    between.close()


class Trainer:
    """What training reads of the log."""

    def __init__(self, address: str) -> None:
        self.log, self.beats, self.stop = open_log(address), 0, threading.Event()
        self.learnt: list[str] = []

    def run(self) -> None:
        for window in follow(lambda: SealedReader(self.log)):
            if window is not None:
                self.learnt += event_ids(window.table)
            elif self.stop.is_set():
                return
            self.beats += 1


class Beside(NamedTuple):
    """A joiner and a trainer, each in a thread."""

    joined: JoinedPartition
    trainer: Trainer
    threads: list[Future]

    def check(self) -> None:
        """Raise what has ended one of them."""
        assert [thread.result() for thread in self.threads if thread.done()] == []


@contextmanager
def running_beside(address: str) -> Iterator[Beside]:
    stop, trainer = threading.Event(), Trainer(address)
    log = PatientLog(open_log(address), stop.wait)
    joined = JoinedPartition(log, 0, JOINING)
    with ThreadPoolExecutor(2) as pool:
        joining = pool.submit(run_join, [joined], stop.wait, 0.02, lambda _: None)
        try:
            yield (both := Beside(joined, trainer, [joining, pool.submit(trainer.run)]))
            both.check()
        finally:
            stop.set()
            trainer.stop.set()
    for one in (log, trainer.log):
        one.close()


@pytest.mark.parametrize(
    ("seconds", "away_seconds"),
    [(1.0, 2.0), pytest.param(30.0, 10.0, marks=pytest.mark.soak)],
    ids=["short", "half_a_minute"],
)
def test_what_is_accepted_before_and_after_an_outage_is_learnt_once(
    brokers, proxy, running, body, eventually, tmp_path, seconds, away_seconds
):
    settings = tmp_path / "kafka.json"
    settings.write_text(json.dumps({"consumer": {"fetch.wait.max.ms": 10}}))
    address = f"kafka://{proxy.servers}?config={settings}&away_seconds={away_seconds}"
    client = running(open_log(address), log_patience_seconds=1.0, viewing_speed=1000.0)
    ranked, send = partial(client.post, "/v1/rank", json=body), partial(client.post, "/v1/events")
    with running_beside(address) as beside:
        trainer = beside.trainer
        rankings = [ranked().json()]
        eventually(lambda: rankings.append(ranked().json()) or rankings[-1]["token"])
        before = about(rankings[-1], "before")
        eventually(lambda: accepted(send(json=before)))
        proxy.go_away()
        refused, beats, end = [], trainer.beats, time.monotonic() + seconds
        while time.monotonic() < end or trainer.beats == beats:
            beside.check()
            ranking = ranked()
            assert (ranking.status_code, ranking.json()["feedback"]) == (200, "away")
            refused.append(again(before, f"away-{len(refused)}"))
            answer = send(json=refused[-1])
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_away")
            assert answer.headers["retry-after"] == "1"
            time.sleep(0.3)
        proxy.come_back()
        for batch in refused:
            eventually(lambda batch=batch: accepted(send(json=batch)))
        eventually(lambda: ranked().json()["feedback"] == "on")
        beside.joined.tick(now_ms() + HOUR_MS)
        ids = sorted(event["event_id"] for batch in [before, *refused] for event in batch["events"])
        eventually(lambda: len(trainer.learnt) >= len(ids))
    assert sorted(trainer.learnt) == ids


def about(ranking: dict[str, Any], event_id: str) -> dict[str, Any]:
    event = {"kind": "behaviour", "item_id": ranking["item_id"][0], "token": ranking["token"]}
    return {"events": [event | {"event_id": event_id, "watched_seconds": 5.0, "behaviours": []}]}


def again(batch: dict[str, Any], event_id: str) -> dict[str, Any]:
    return {"events": [event | {"event_id": event_id} for event in batch["events"]]}


def accepted(answer: Any) -> bool:
    assert answer.status_code in (200, 503)
    return answer.status_code == 200 and answer.json()["results"][0]["status"] == "accepted"
