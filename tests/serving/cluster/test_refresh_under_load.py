"""From one version to the next under load, behind the real front door."""

import json
import signal
import threading
from pathlib import Path

import pytest

from easq.artefact import load_ranker
from easq.registry import publish
from serving.contract import ErrorResponse, RankResponse
from serving.front_door import has_haproxy

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]
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

        if has_haproxy():
            addresses = haproxy_addresses(service.tracking_uri)
            assert len(addresses) == 3  # front, metrics, statistics
            assert all(address.startswith(LOOPBACK) for address in addresses)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=20) == 0

    assert [answer.status for _, answer in answers if answer.status != 200] == []
    rankings = [(b, RankResponse.model_validate_json(a.body)) for b, a in answers]
    assert {ranking.model.version for _, ranking in rankings} == {1, 2}
    offline = {v: offline_scores(load_ranker(path), body) for v, path in paths.items()}
    for request, ranking in rankings:
        scores = offline[ranking.model.version]
        assert ranking.item_id == sorted(scores, key=lambda i: -scores[i])[: request["top_k"]]
        assert ranking.score == pytest.approx([scores[i] for i in ranking.item_id], abs=1e-6)


class Load:
    """Closed-loop clients, one a request; answers in the order in which they came."""

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
            self.answers.append((request, connection.ask("/v1/rank", json.dumps(request))))

    def replicas_with(self, version: int) -> int:
        """How many replicas answer from the version; none goes back to an older one."""
        named = {}
        for _, answer in list(self.answers):
            if answer.status == 200:
                came = json.loads(answer.body)["model"]["version"]
                assert came >= named.get(answer.replica, came)
                named[answer.replica] = came
        return sum(came == version for came in named.values())

    def stop(self) -> list:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.answers


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
