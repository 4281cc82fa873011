"""From weights to weights under load, behind the real front door: deltas, and full versions."""

import itertools
import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from easq.announcements import Rollout
from easq.as_served import as_served
from easq.log.connect import open_log
from easq.registry import CANDIDATE, CHAMPION, publish
from easq.registry_aliases import numbered, point
from easq.rollout import rolled_back
from easq.rollout_log import announce
from easq.samples import flatten
from jobs.gate import rollback
from jobs.ranking_client import rank_request
from serving.contract import ErrorResponse

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]
LOOPBACK = "0100007F:"  # in /proc/net/tcp
DELTAS, ON_THE_WAY = 15, 7


def test_refreshes_under_load_fail_no_request(serving, load, online_run, spec):
    run = online_run(DELTAS + 1)
    rows = run.shares[0].rows.slice(0, 4)
    bodies = [rank_request(spec, row) | {"top_k": k + 1} for k, row in enumerate(rows.to_pylist())]
    versions = {}
    with serving(replicas=2, poll_seconds=0.3) as service:
        run.log = open_log(service.log_uri)
        run.start(1)

        def put(run_name: str) -> None:
            path = run.save(f"v{len(versions) + 1}", run_name)[0]
            versions[publish(service.tracking_uri, "easq", path).version] = path

        check_that_it_is_not_ready(service.connect(), bodies[0])
        put("online")
        connection, ready = service.connect(), set()
        service.wait_until(lambda: replicas_ready(connection, bodies[0], ready) == 2)

        clients = load(service, bodies)
        for k in range(DELTAS):
            seq = run.learn()
            if k == ON_THE_WAY:
                put("online")  # the live state gets its name, nothing else changes
            now = (len(versions), seq)
            service.wait_until(lambda now=now: clients.replicas_at(now) == 2)
        assert json.loads(connection.ask("/v1/model").body)["live"]["digest"] == run.digest()
        run.learner.learn(run.shares[DELTAS])
        put("another")  # nothing leads here from the live state: another copy goes on air
        service.wait_until(lambda: clients.replicas_at((3, -1)) == 2)
        answers = clients.stop()
        check_a_canary_and_a_rollback(service, load(service, bodies), run.save("v4", "canary")[0])
        check_a_block(service, load(service, bodies), connection, seq)
        if (addresses := service.haproxy_addresses()) is not None:
            assert len(addresses) == 3  # front, metrics, statistics
            assert all(address.startswith(LOOPBACK) for address in addresses)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(timeout=60) == 0

    assert [a.status for a in answers if a.status != 200] == []
    check_that_no_replica_goes_back(answers)
    check_that_none_mixes_weights(answers, versions, run.log, rows)


def check_a_canary_and_a_rollback(service, clients, path: Path) -> None:
    """Version 4 reaches rank 0 alone, and goes; then version 1 is put back everywhere."""
    publish(service.tracking_uri, "easq", path, alias=CANDIDATE)
    log = open_log(service.log_uri)
    announce(log, Rollout(version=4, previous=3, ranks_below=1, reason="a canary"), 0)
    service.wait_until(lambda: clients.replicas_with(4) == 1)
    breached = time.monotonic()
    announce(log, rolled_back(4, 3, "a breach"), 0)
    service.wait_until(lambda: clients.replicas_since(time.monotonic() - 1.0) == {(3, 2)})
    asked = time.monotonic()
    rollback(service.log_uri, service.tracking_uri, "easq", to=1, reason="a test")
    service.wait_until(lambda: clients.replicas_since(time.monotonic() - 1.0) == {(1, 2)})
    answers = clients.stop()

    assert [a.status for a in answers if a.status != 200] == []
    assert len({a.replica for a in answers if a.version == 4}) == 1
    seconds = [
        max((a.came - since for a in answers if a.version == version), default=0.0)
        for version, since in ((4, breached), (3, asked))
    ]
    print("rollback: all responses on the old version after {:.2f} and {:.2f} s".format(*seconds))


def check_a_block(service, clients, connection, newest: int) -> None:
    """Version 2 opens the lane again, the canary first; a blocked one takes its deltas off."""
    log, uri = open_log(service.log_uri), service.tracking_uri
    canary = Rollout(version=2, previous=1, ranks_below=1, reason="passed", stopped="a test")
    announce(log, canary, 0)
    canary_alone = {(1, 1), (2, 1)}
    service.wait_until(lambda: clients.replicas_since(time.monotonic() - 1.0) == canary_alone)
    point(uri, numbered(uri, "easq", 2), CHAMPION)
    announce(log, canary.model_copy(update={"ranks_below": None}), 0)
    service.wait_until(lambda: lately(clients) == {(2, newest)})
    why = "version 9 is blocked: it lost 3 %"
    announce(log, rolled_back(9, 2, why), 0)
    service.wait_until(lambda: lately(clients) == {(2, -1)})
    told = json.loads(connection.ask("/v1/model").body)
    assert (told["live"]["version"], told["live"]["seq"]) == (2, -1)
    assert (told["deltas"]["following"], told["deltas"]["stopped"]) == (False, why)
    answers = clients.stop()
    assert [a.status for a in answers if a.status != 200] == []
    assert {a.weights for a in answers} == {(1, -1), (2, newest), (2, -1)}


def lately(clients) -> set[tuple[int, int]]:
    """The weights behind all answers to requests of the last second."""
    since = time.monotonic() - 1.0
    return {a.weights for a in list(clients.answers) if a.left > since and a.status == 200}


def check_that_no_replica_goes_back(answers: list) -> None:
    """A request sent after a replica has answered from some weights meets none before them.

    Answers of several clients may overtake each other on the way, so what counts is when a
    request left.
    """
    for replica in {a.replica for a in answers}:
        own = [a for a in answers if a.replica == replica]
        came, reached = math.inf, {}
        for weights, group in itertools.groupby(
            sorted(own, key=lambda a: a.weights, reverse=True), key=lambda a: a.weights
        ):
            reached[weights] = came  # when newer ones were first seen
            came = min(came, *(a.came for a in group))
        assert all(a.left <= reached[a.weights] for a in own)


def check_that_none_mixes_weights(answers: list, versions: dict[int, Path], log, rows) -> None:
    """Each response has the scores that its version and seq give, computed here anew."""
    used = sorted({a.weights for a in answers})
    assert {version for version, _ in used} == set(versions)
    assert {seq for _, seq in used} >= set(range(-1, DELTAS))
    offline = {}
    for version, seqs in itertools.groupby(used, key=lambda weights: weights[0]):
        for seq, ranker in as_served(versions[version], log, [s for _, s in seqs]):
            for k in range(rows.num_rows):
                columns = flatten(rows.slice(k, 1)).columns
                scores = ranker.score(columns)
                best = np.argsort(-scores, kind="stable")[: k + 1]
                offline[version, seq, k] = columns.item["item_id"][best].tolist(), scores[best]
    for a in answers:
        items, scores = offline[*a.weights, a.request]
        assert a.ranking.item_id == items
        assert a.ranking.score == pytest.approx(scores.tolist(), abs=1e-6)
    assert len({float(scores[0]) for *_, scores in offline.values()}) > DELTAS


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
