"""A replica follows the trainer: at every sequence number it has the trainer's weights."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from easq.announcements import ANNOUNCEMENT
from easq.log.interface import MODELS
from easq.registry import Version
from easq.samples import flatten
from easq.state_digest import ServedWeights, StateDigest
from serving.api import build_api
from serving.config import ServingSettings
from serving.deltas import DeltaFollower
from serving.live import Live
from serving.refresh import Refresher
from serving.replica import RankerReplica


class Loop(NamedTuple):
    """A trainer, a registry and a replica; nothing runs until it is asked to."""

    run: object
    shelf: object
    follower: DeltaFollower
    refresher: Refresher
    replica: RankerReplica

    def publish(self, number: int) -> Path:
        """The trainer's weights become a version and champion."""
        path, digest = self.run.save(f"v{number}")
        self.shelf.named = Version("easq", number, digest, "run", str(path))
        return path

    def refresh(self, number: int) -> None:
        self.publish(number)
        self.refresher.look()

    @property
    def live(self) -> Live:
        live = self.replica.refresher.live
        assert live is not None
        return live

    @property
    def name(self) -> tuple[int, int]:
        return self.live.name.version, self.live.name.seq

    def has_the_trainers_weights(self) -> bool:
        report = self.replica.model().live
        return (report.digest, report.window) == (
            self.run.digest(),
            self.run.learner.next_window,
        )


def loop_of(run, shelf, in_loop) -> Loop:
    follower = DeltaFollower(run.log, in_loop, poll_seconds=0.001)
    refresher = Refresher(shelf.champion, shelf.fetch, shelf.evict, 1.0, follower)
    replica = RankerReplica(ServingSettings(model_name="easq"), refresher, "r0")
    return Loop(run, shelf, follower, refresher, replica)


@pytest.fixture
def loop(online_run, shelf) -> Loop:
    """Six windows to learn; deltas are written at once, by who looks."""
    return loop_of(online_run(6), shelf, lambda write: write())


def body_of(samples: pa.Table, row: int) -> dict:
    """A logged request as a client sends it."""
    one = samples.slice(row, 1).to_pylist()[0]
    return {
        "user": {"user_id": one["user_id"], "activity": one["user.activity"]},
        "scenario": one["scenario"],
        "request_time_ms": one["request_time_ms"],
        "candidates": {"item_id": one["item_id"], "tag": one["item.tag"]},
        "upstream": {name: one[f"upstream.{name}"] for name in ("like", "long_view")},
    }


def scores_of(ranking: dict, body: dict) -> list[float]:
    """In the order of the request."""
    scores = dict(zip(ranking["item_id"], ranking["score"], strict=True))
    return [scores[item] for item in body["candidates"]["item_id"]]


def test_at_every_delta_scores_and_digest_are_the_trainers(loop):
    client = TestClient(build_api(loop.replica))
    loop.refresh(1)
    share = loop.run.shares[0]
    share = share._replace(rows=share.rows.slice(0, 4))
    bodies = [body_of(share.rows, row) for row in range(4)]
    for window in range(4):
        offset = loop.run.learn()
        loop.follower.look()
        rankings = [client.post("/v1/rank", json=body).json() for body in bodies]
        name = {"name": "easq", "version": 1, "seq": offset}
        assert all(ranking["model"] == name for ranking in rankings)
        served = np.concatenate([scores_of(r, b) for r, b in zip(rankings, bodies, strict=True)])
        np.testing.assert_allclose(served, loop.run.learner.score(share).main, rtol=0, atol=1e-6)
        report = client.get("/v1/model").json()
        assert report["live"]["digest"] == loop.run.digest()
        assert report["live"]["seq"] == offset
        assert report["live"]["window"] == window + 1
        assert report["live"]["learnt"] == {"0": 1000 * (window + 1)}
        assert report["deltas"] == {
            "following": True,
            "stopped": None,
            "applied": window + 1,
            "refused": 0,
            "problem": None,
        }


def test_a_replica_that_starts_late_is_caught_up_before_it_answers(loop):
    loop.publish(1)
    for _ in range(4):
        loop.run.learn()
    loop.refresher.look()
    assert loop.name == (1, 3)
    assert loop.has_the_trainers_weights()


def test_a_version_that_the_replica_has_passed_gives_its_name_and_nothing_else(loop):
    loop.refresh(1)
    loop.run.learn()
    loop.publish(2)
    loop.run.learn()
    loop.follower.look()
    before = loop.live
    loop.refresher.look()
    assert loop.name == (2, 1)
    assert loop.live.ranker is before.ranker
    loop.run.learn()
    loop.follower.look()
    assert loop.name == (2, 2)
    assert loop.has_the_trainers_weights()
    assert loop.follower.on_air.previous.version.version == 1


def test_a_version_ahead_of_the_replica_is_served_with_the_deltas_after_it(loop):
    loop.refresh(1)
    for _ in range(2):
        loop.run.learn()
    loop.publish(2)
    loop.run.learn()
    loop.refresher.look()
    assert loop.name == (2, 2)
    assert loop.has_the_trainers_weights()


def test_a_version_keeps_its_scores_whatever_deltas_come_after_it(loop):
    loop.refresh(1)
    rows = flatten(loop.run.shares[0].rows).columns
    scores = loop.live.ranker.score(rows)
    loop.run.learn()
    loop.follower.look()
    np.testing.assert_array_equal(loop.live.as_published().ranker.score(rows), scores)
    assert not np.array_equal(loop.live.ranker.score(rows), scores)


def spoil(loop: Loop, **changes) -> None:
    """Append the newest delta again, changed; what stood there is trimmed with all before it."""
    log = loop.run.log
    row = log.read(MODELS, 0, log.end(MODELS, 0) - 1).table.to_pylist()[0]
    log.append(MODELS, 0, pa.Table.from_pylist([row | changes], schema=ANNOUNCEMENT))
    log.trim(MODELS, 0, log.end(MODELS, 0) - 1)


def test_a_damaged_delta_is_not_served_and_a_full_version_brings_the_rest(loop):
    loop.refresh(1)
    loop.run.learn()
    loop.follower.look()
    loop.run.learn()
    spoil(loop, payload=b"none")
    loop.follower.look()
    assert loop.name == (1, 0)
    assert "another sha256" in loop.replica.model().deltas.problem
    loop.run.learn()
    loop.follower.look()
    assert loop.name == (1, 0)
    assert "next full version" in loop.replica.model().deltas.problem
    assert loop.replica.model().deltas.refused == 2
    loop.refresh(2)
    assert loop.name == (2, -1)
    loop.run.learn()
    loop.follower.look()
    assert loop.has_the_trainers_weights()
    assert loop.replica.model().deltas.problem is None


def test_a_body_that_cannot_be_read_stops_nothing(loop):
    loop.refresh(1)
    loop.run.learn()
    loop.follower.look()
    garbage = {"kind": "delta", "made_at_ms": 0, "body": "{", "payload": None}
    loop.run.log.append(MODELS, 0, pa.Table.from_pylist([garbage], schema=ANNOUNCEMENT))
    loop.run.learn()
    loop.follower.look()
    assert loop.has_the_trainers_weights()
    assert loop.replica.model().deltas.refused == 1


def test_a_trainer_that_starts_again_and_learns_otherwise_is_followed(loop, tmp_path):
    loop.refresh(1)
    loop.run.learn()
    loop.run.checkpoint(tmp_path)
    loop.run.learn()
    loop.run.learn()
    loop.follower.look()
    loop.run.restore(tmp_path)
    loop.run.learner.state.main.param_groups[0]["lr"] *= 2
    loop.run.start(2)
    loop.run.learn()
    loop.follower.look()
    assert loop.name == (1, 2)  # still the windows that the first start has learnt
    loop.run.learn()
    loop.run.learn()
    loop.follower.look()
    assert loop.has_the_trainers_weights()
    assert loop.name == (1, 5)
    assert loop.replica.model().deltas.problem is None


def test_the_way_back_is_served_as_it_was_published_until_a_newer_version_comes(loop):
    loop.refresh(1)
    first = loop.shelf.named
    scores = loop.live.ranker.score(flatten(loop.run.shares[0].rows).columns)
    loop.run.learn()
    loop.refresh(2)
    loop.run.learn()
    loop.follower.look()
    loop.shelf.named = first
    loop.shelf.fetch = lambda _: pytest.fail("the version before is in memory")
    loop.refresher.look()
    loop.run.learn()
    loop.follower.look()
    assert loop.name == (1, -1)
    assert not loop.replica.model().deltas.following
    assert loop.replica.model().deltas.stopped == (
        "version 1 is older than 2, which was served before"
    )
    again = loop.live.ranker.score(flatten(loop.run.shares[0].rows).columns)
    np.testing.assert_array_equal(again, scores)
    del loop.shelf.fetch
    loop.refresh(3)
    loop.run.learn()
    loop.follower.look()
    assert loop.has_the_trainers_weights()


def test_told_not_to_follow_it_serves_versions_as_they_are(loop):
    loop.follower.stopped = lambda: "by hand"
    loop.refresh(1)
    loop.run.learn()
    loop.follower.look()
    assert loop.name == (1, -1)


def test_a_rollback_to_the_live_version_takes_its_deltas_off_until_told_to_follow(loop):
    loop.refresh(1)
    loop.run.learn()
    loop.follower.look()
    assert loop.name[1] >= 0
    loop.follower.stopped = lambda: "version 2 is blocked"
    loop.refresher.look()
    loop.follower.look()
    assert loop.name == (1, -1)
    report = TestClient(build_api(loop.replica)).get("/v1/model").json()["deltas"]
    assert (report["following"], report["stopped"]) == (False, "version 2 is blocked")
    loop.follower.stopped = lambda: None
    loop.refresher.look()
    loop.follower.look()
    assert loop.has_the_trainers_weights()
    assert loop.replica.model().deltas.stopped is None


@pytest.mark.parametrize("stopped", [None, "version 2 is blocked"])
def test_a_canary_serves_other_weights_than_the_rest_only_where_the_lane_was_stopped(loop, stopped):
    rest = loop_of(loop.run, loop.shelf, lambda write: write())
    loop.publish(1)
    for one in (loop, rest):
        one.follower.stopped = lambda: stopped
        one.refresher.look()
    loop.run.learn()
    for one in (loop, rest):
        one.follower.look()
    loop.follower.stopped = lambda: None
    loop.refresh(3)  # the canary alone
    assert (loop.live.version.version, rest.live.version.version) == (3, 1)
    digests = [StateDigest(ServedWeights.of(o.live.ranker.weights())).digest for o in (loop, rest)]
    assert digests[0] == loop.run.digest()
    assert (digests[0] == digests[1]) == (stopped is None)


def test_while_the_log_is_away_the_replica_serves_and_goes_on_after(loop, monkeypatch):
    loop.refresh(1)
    loop.run.learn()
    loop.run.learn()
    table = "ALTER TABLE {} RENAME TO {}"
    other = sqlite3.connect(loop.run.log.path, isolation_level=None)
    other.execute(table.format("blob", "aside"))
    loop.follower.look()
    assert loop.name == (1, -1)
    assert "the log of deltas cannot be read" in loop.replica.model().deltas.problem
    loop.refresh(2)
    assert loop.name == (2, -1)
    other.execute(table.format("aside", "blob"))
    loop.follower.look()
    assert loop.replica.model().deltas.problem is None
    loop.run.learn()
    loop.follower.look()
    assert loop.has_the_trainers_weights()


def test_without_a_log_nothing_of_it_is_seen(shelf, client, refresher):
    shelf.publish(1)
    refresher.look()
    report = client.get("/v1/model").json()
    assert report["deltas"] is None
    assert (report["live"]["seq"], report["live"]["digest"]) == (-1, None)


def test_no_response_mixes_two_states(online_run, shelf):
    """Clients ask while deltas are applied; each answer is recomputed from its version and seq."""
    run = online_run(10)
    body = body_of(run.shares[0].rows, 0)
    rows = run.shares[0].rows.slice(0, 1)
    expected = {-1: run.learner.score(run.shares[0]._replace(rows=rows)).main}
    path, digest = run.save("v1")

    async def ask(client: httpx.AsyncClient, until: asyncio.Event) -> list[dict]:
        answers = []
        while not until.is_set():
            answers.append((await client.post("/v1/rank", json=body)).json())
            await asyncio.sleep(0)  # nothing in a request in memory gives way to the loop
        return answers

    async def serve() -> tuple[list[dict], Loop]:
        running, done = asyncio.get_running_loop(), asyncio.Event()
        loop = loop_of(run, shelf, running.call_soon_threadsafe)
        shelf.named = Version("easq", 1, digest, "run", str(path))
        loop.refresher.look()
        loop.follower.start()
        transport = httpx.ASGITransport(build_api(loop.replica))
        async with httpx.AsyncClient(transport=transport, base_url="http://r") as client:
            asking = [asyncio.create_task(ask(client, done)) for _ in range(4)]
            try:
                await asyncio.to_thread(learn_all, loop)
            finally:
                done.set()
            answers = [answer for answers in await asyncio.gather(*asking) for answer in answers]
        loop.refresher.stop()
        return answers, loop

    def learn_all(loop: Loop) -> None:
        for _ in range(10):
            offset = run.learn()
            expected[offset] = run.learner.score(run.shares[0]._replace(rows=rows)).main
            wait_until(lambda seq=offset: loop.live.name.seq == seq)

    answers, loop = asyncio.run(serve())
    assert loop.has_the_trainers_weights()
    assert {answer["model"]["seq"] for answer in answers} >= set(range(9))
    for answer in answers:
        np.testing.assert_allclose(
            scores_of(answer, body), expected[answer["model"]["seq"]], rtol=0, atol=1e-6
        )


def wait_until(fact) -> None:
    ticking = threading.Event()
    for _ in range(60_000):
        if fact():
            return
        ticking.wait(0.001)
    raise AssertionError("not within a minute")


def test_a_replica_that_retention_has_overtaken_goes_on_with_the_next_full_version(loop):
    loop.refresh(1)
    loop.run.learn()
    loop.follower.look()
    for _ in range(2):
        loop.run.learn()
    loop.run.log.trim(MODELS, 0, loop.run.log.end(MODELS, 0))
    loop.run.learn()
    loop.follower.look()
    assert loop.name == (1, 0)
    assert "next full version" in loop.replica.model().deltas.problem
    late = loop_of(loop.run, loop.shelf, lambda write: write())
    late.refresher.look()
    assert late.name == (1, -1)
    loop.refresh(2)
    late.refresher.look()
    loop.run.learn()
    for one in (loop, late):
        one.follower.look()
        assert one.name == (2, loop.run.log.end(MODELS, 0) - 1)
        assert one.has_the_trainers_weights()
        assert one.replica.model().deltas.problem is None
