"""From one version to the next under load, behind the real front door."""

import json
import math
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from easq.announcements import Rollout
from easq.artefact import load_ranker
from easq.log.connect import open_log
from easq.registry import CANDIDATE, publish
from easq.rollout import announce, rolled_back
from jobs.gate import rollback
from serving.contract import ErrorResponse, RankResponse
from serving.front_door import has_haproxy

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
LISTENING, LOOPBACK = "0A", "0100007F:"  # in /proc/net/tcp


def test_a_refresh_under_load_fails_no_request(serving, make_version, body, offline_scores):
    paths = {1: make_version(1), 2: make_version(2)}
    with serving(replicas=2, poll_seconds=0.3) as service:
        check_that_it_is_not_ready(service.connect(), body)
        publish(service.tracking_uri, "easq", paths[1])
        connection, ready = service.connect(), set()
        service.wait_until(lambda: replicas_ready(connection, body, ready) == 2)

        load = Load(service, [body | {"top_k": k} for k in (1, 2, 3, 3)])
        publish(service.tracking_uri, "easq", paths[2])
        service.wait_until(lambda: load.replicas_with(2) == 2)
        answers = load.stop()
        check_a_canary_and_a_rollback(service, make_version(3), body)
        if has_haproxy():
            addresses = haproxy_addresses(service.tracking_uri)
            assert len(addresses) == 3  # front, metrics, statistics
            assert all(address.startswith(LOOPBACK) for address in addresses)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=60) == 0

    assert [a.status for a in answers if a.status != 200] == []
    check_that_no_replica_goes_back(answers)
    rankings = [(a.request, RankResponse.model_validate_json(a.body)) for a in answers]
    assert {ranking.model.version for _, ranking in rankings} == {1, 2}
    offline = {v: offline_scores(load_ranker(path), body) for v, path in paths.items()}
    for request, ranking in rankings:
        scores = offline[ranking.model.version]
        assert ranking.item_id == sorted(scores, key=lambda i: -scores[i])[: request["top_k"]]
        assert ranking.score == pytest.approx([scores[i] for i in ranking.item_id], abs=1e-6)


def check_a_canary_and_a_rollback(service, path: Path, body: dict) -> None:
    """Version 3 reaches rank 0 alone, and goes; then version 1 is put back everywhere."""
    publish(service.tracking_uri, "easq", path, alias=CANDIDATE)
    log, load = open_log(service.log_uri), Load(service, [body] * 4)
    canary = Rollout(version=3, previous=2, ranks_below=1, reason="a canary")
    announce(log, canary, 0)
    service.wait_until(lambda: load.replicas_with(3) == 1)
    breached = time.monotonic()
    announce(log, rolled_back(3, 2, "a breach"), 0)
    service.wait_until(lambda: load.replicas_since(time.monotonic() - 1.0) == {(2, 2)})
    asked = time.monotonic()
    rollback(service.log_uri, service.tracking_uri, "easq", to=1, reason="a test")
    service.wait_until(lambda: load.replicas_since(time.monotonic() - 1.0) == {(1, 2)})
    answers = load.stop()

    assert [a.status for a in answers if a.status != 200] == []
    assert load.replicas_with(3) == 1
    seconds = [
        max((a.came - since for a in answers if a.version == version), default=0.0)
        for version, since in ((3, breached), (2, asked))
    ]
    print("rollback: all responses on the old version after {:.2f} and {:.2f} s".format(*seconds))


class Answered(NamedTuple):
    """A request, its answer, and when the one left and the other came."""

    request: dict
    left: float
    came: float
    status: int
    body: bytes
    replica: str

    @property
    def version(self) -> int:
        return json.loads(self.body)["model"]["version"]


class Load:
    """Closed-loop clients, one a request."""

    def __init__(self, service, requests: list[dict]) -> None:
        self.answers, self.stopping = [], threading.Event()
        self.threads = [
            threading.Thread(target=self.run, args=(service.connect(), request))
            for request in requests
        ]
        for thread in self.threads:
            thread.start()

    def run(self, connection, request: dict) -> None:
        while not self.stopping.is_set():
            left = time.monotonic()
            answer = connection.ask("/v1/rank", json.dumps(request))
            self.answers.append(Answered(request, left, time.monotonic(), *answer))

    def replicas_with(self, version: int) -> int:
        answered = [a for a in list(self.answers) if a.status == 200]
        return len({a.replica for a in answered if a.version == version})

    def replicas_since(self, moment: float) -> set[tuple[int, int]]:
        """Of requests that left since then: each version, and how many replicas have it."""
        recent = [a for a in list(self.answers) if a.left > moment and a.status == 200]
        versions = {a.version for a in recent}
        return {(v, len({a.replica for a in recent if a.version == v})) for v in versions}

    def stop(self) -> list[Answered]:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.answers


def check_that_no_replica_goes_back(answers: list[Answered]) -> None:
    """A request sent after a replica has answered from version 2 never meets its version 1.

    Answers of several clients may overtake each other on the way, so what counts is when a
    request left.
    """
    for replica in {a.replica for a in answers}:
        own = [a for a in answers if a.replica == replica]
        first_new = min((a.came for a in own if a.version == 2), default=math.inf)
        assert all(a.version == 2 for a in own if a.left > first_new)


def check_that_it_is_not_ready(connection, body: dict) -> None:
    assert connection.ask("/healthz").status == 200
    for answer in (connection.ask("/readyz"), connection.ask("/v1/rank", json.dumps(body))):
        assert answer.status == 503
        assert ErrorResponse.model_validate_json(answer.body).error.code == "no_model"


def replicas_ready(connection, body: dict, seen: set[str]) -> int:
    answer = connection.ask("/v1/rank", json.dumps(body))
    if answer.status == 200:
        seen.add(answer.replica)
    return len(seen)


def haproxy_addresses(mark: str) -> list[str]:
    """Where the HAProxy with this in its environment listens, as /proc/net/tcp writes it."""
    inodes = {
        str(fd.readlink())
        for process in Path("/proc").glob("[0-9]*")
        if _is_haproxy(process, mark.encode())
        for fd in (process / "fd").iterdir()
    }
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == LISTENING and f"socket:[{row[9]}]" in inodes]


def _is_haproxy(process: Path, mark: bytes) -> bool:
    try:
        if (process / "comm").read_text().strip() != "haproxy":
            return False
        return mark in (process / "environ").read_bytes()
    except OSError:  # it ended meanwhile, or is another user's
        return False
