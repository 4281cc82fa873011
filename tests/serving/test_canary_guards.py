"""A version that fails for some requests, or is slow, is taken back from the canary by itself."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file

from easq.announcements import ANNOUNCEMENT, VITALS, Rollout
from easq.artefact import load_ranker
from easq.encoding import hash_rows
from easq.history import sha256_of
from easq.log.interface import MODELS
from easq.log.sqlite import SqliteLog
from easq.registry import CANDIDATE, Version, champion, fetch, publish
from easq.registry_aliases import numbered, tag, tags_of
from easq.rollout import RolloutConfig, next_stage
from easq.rollout_log import newest_rollout
from easq.rollout_watch import RolloutWatch
from easq.vitals import TIMED, Vitals, bucket, tell
from jobs.gatekeeper import ROLLED_OUT, VERDICT, Gatekeeper, GatekeeperConfig
from serving.api import build_api
from serving.config import ServingSettings
from serving.feedback import Feedback
from serving.lines import Followed, Lines
from serving.refresh import Refresher
from serving.replica import RankerReplica
from serving.rollout import FollowedRollout, RolloutWatcher
from serving.vitals import VitalSigns, VitalsTeller

NAME, KEY = "easq-ranker", "sixteen letters!"
POISONED = 777
"""An item whose scores overflow in the bad version; no golden request has its row."""
PATIENT = RolloutConfig(waves=(1,), bake_seconds=3600)
CANARY = Rollout(version=8, previous=7, ranks_below=1, reason="passed")


def poison(version: Path) -> Path:
    """One embedding row so long that what it meets overflows; every weight is finite."""
    file, weights = version / "ranker.safetensors", load_file(version / "ranker.safetensors")
    spec = load_ranker(version).spec
    feature = next(f for f in spec.categorical if f.name == "item_id")
    row = spec.offsets["item_id"] + int(hash_rows(feature, np.array([POISONED]))[0])
    weights["rows.8"][row] = 3e38
    save_file(weights, file)
    manifest = json.loads((version / "manifest.json").read_text())
    manifest |= {file.name: sha256_of(file)}
    (version / "manifest.json").write_text(json.dumps(manifest))
    return version


class Canary(NamedTuple):
    """A replica of rank 0 on a real log and a real registry, and the gate."""

    client: TestClient
    log: SqliteLog
    uri: str

    def gated(self, version: Path) -> Version:
        """A candidate that the gate has let through."""
        published = publish(self.uri, NAME, version, alias=CANDIDATE)
        tag(self.uri, published, {VERDICT: "passed"})
        return published

    def served(self) -> int | None:
        live = self.client.get("/v1/model").json()["live"]
        return live and live["version"]


@pytest.fixture
def canary(mlflow_uri: str, tmp_path: Path, make_version) -> Iterator[Canary]:
    log, cache = SqliteLog(tmp_path / "log.db"), tmp_path / "cache"
    publish(mlflow_uri, NAME, make_version(1))
    rollout = FollowedRollout(
        lambda: 0, lambda: champion(mlflow_uri, NAME), lambda n: numbered(mlflow_uri, NAME, n)
    )
    fetched = lambda version: fetch(mlflow_uri, version, cache)  # noqa: E731
    refresher = Refresher(rollout.target, fetched, lambda: None, poll_seconds=0.05)
    signs = VitalSigns("r0", lambda: rollout.newest)
    settings = ServingSettings.model_validate({"token_key": KEY, "log_patience_seconds": 60.0})
    feedback = Feedback(log, KEY.encode(), settings)
    lines = Lines(settings.model_name, {settings.model_name: Followed(refresher, signs)})
    replica = RankerReplica(settings, refresher, "r0", feedback, lines)
    watcher, teller = (
        RolloutWatcher(log, rollout, refresher.wake, seconds=0.02),
        VitalsTeller(log, signs, seconds=0.02),
    )
    for part in (watcher, refresher, teller):
        part.start()
    client = TestClient(build_api(replica), raise_server_exceptions=False)
    yield Canary(client, log, mlflow_uri)
    for part in (watcher, teller):
        part.stop()
        part.thread.join(60)
    refresher.stop()
    feedback.close()
    refresher.thread.join(60)


def until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rolled_out(canary: Canary) -> int:
    newest = newest_rollout(canary.log)
    assert newest is not None
    return newest.version


def test_a_version_that_fails_for_some_requests_is_taken_back_by_itself(
    canary, body, make_version, tmp_path
):
    until(lambda: canary.served() == 1)
    bad = canary.gated(poison(make_version(2)))
    config = GatekeeperConfig(rollout=PATIENT)
    keeper = Gatekeeper(canary.log, canary.uri, NAME, tmp_path / "cache", config)
    keeper.look()
    until(lambda: canary.served() == bad.version)
    poisoned = body | {"candidates": body["candidates"] | {"item_id": [501, POISONED, 503]}}
    assert canary.client.post("/v1/rank", json=body).status_code == 200
    keeper.look()
    assert rolled_out(canary) == bad.version, "it has done no harm yet"
    failed = canary.client.post("/v1/rank", json=poisoned)
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "internal")

    def taken_back() -> bool:
        keeper.look()
        return rolled_out(canary) == 1

    until(taken_back)
    until(lambda: canary.served() == 1)
    assert canary.client.post("/v1/rank", json=poisoned).status_code == 200
    why = tags_of(canary.uri, bad)[ROLLED_OUT]
    assert why == "1 of 2 requests were refused or had scores not finite"
    live = champion(canary.uri, NAME)
    assert live is not None
    assert live.version == 1


def vitals(version: int, seconds: float, requests: int, **changed: object) -> Vitals:
    told = Vitals(
        replica=f"r{version}",
        version=version,
        ranks_below=1,
        failed=0,
        latency={bucket(seconds): requests},
    )
    return told.model_copy(update=changed)


@pytest.mark.parametrize(("slower", "taken_back"), [(1.4, False), (4.0, True)])
def test_a_slow_version_is_taken_back_once_there_is_enough_to_compare(slower, taken_back, tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    watch = RolloutWatch(log, NAME, CANARY)
    tell(log, [vitals(7, 0.004, TIMED), vitals(8, slower * 0.004, TIMED - 1)], 0)
    assert watch.look(1.0).latency_ratio is None
    tell(log, [vitals(8, slower * 0.004, TIMED)], 0)  # totals: this one replaces the one before
    seen = watch.look(2.0)
    assert seen.latency_ratio == pytest.approx(slower, rel=0.2)
    following = next_stage(PATIENT, CANARY, seen)
    assert (following is not None) == taken_back
    if following is not None:
        assert following.version == 7
        assert "latency is 4 x that of the version before" in following.reason


def test_what_belongs_to_another_stage_does_not_count(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    watch = RolloutWatch(log, NAME, CANARY)
    tell(log, [vitals(8, 0.004, 9, ranks_below=2, failed=3), vitals(6, 0.004, 9, failed=3)], 0)
    assert watch.look(1.0)[1:3] == (0, 0)
    tell(log, [vitals(8, 0.004, 9, failed=2), vitals(8, 0.004, 9, replica="r9", failed=1)], 0)
    assert watch.look(1.0).bad == 3


def test_a_replica_counts_only_while_a_version_bakes_and_anew_in_each_stage():
    newest: list[Rollout | None] = [None]
    signs = VitalSigns("r0", lambda: newest[0])

    def ask(version: int, fails: bool) -> None:
        try:
            with signs.scoring(version):
                if fails:
                    raise ValueError
        except ValueError:
            pass

    ask(7, fails=True)
    assert signs.report() == []
    newest[0] = CANARY
    ask(8, fails=True)
    ask(8, fails=False)
    [told] = signs.report()
    assert (told.version, told.ranks_below, told.failed) == (8, 1, 1)
    assert sum(told.latency.values()) == 1
    newest[0] = CANARY.model_copy(update={"ranks_below": 2})
    ask(8, fails=False)
    [told] = signs.report()
    assert (told.ranks_below, told.failed) == (2, 0)


def test_a_record_of_another_release_is_passed_over(tmp_path):
    log = SqliteLog(tmp_path / "log.db")
    watch = RolloutWatch(log, NAME, CANARY)
    row = {"kind": VITALS, "made_at_ms": 0, "body": '{"version": 8}', "payload": None}
    log.append(MODELS, 0, pa.Table.from_pylist([row], schema=ANNOUNCEMENT))
    tell(log, [vitals(8, 0.004, 1, failed=1)], 0)
    assert watch.look(1.0).bad == 1
