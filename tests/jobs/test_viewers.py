"""Simulated viewers before the real ranking API, on a socket."""

import io
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from rich.console import Console
from typer.testing import CliRunner

from easq.free_ports import free_port
from easq.ledger import Ledger, RankedLine, read_ledger
from easq.log.sqlite import SqliteLog
from easq.registry import Version
from easq.simulate.live import Audience, ViewerEvent, config_of
from easq.simulate.shown import Shown
from jobs.cli import COMMANDS
from jobs.viewer_events import batches
from jobs.viewer_sessions import Viewers
from jobs.viewer_statistics import Tally
from jobs.viewers import print_lane, run_viewers, summary
from jobs.viewing_plan import ViewingPlan
from serving.api import build_api
from serving.config import ServingSettings
from serving.deltas import DeltaFollower
from serving.refresh import Refresher
from serving.replica import RankerReplica

DEADLINE_SECONDS = 60


def _api(version: Version | None, cache: Path) -> FastAPI:
    def fetch(named: Version) -> Path:
        return Path(named.uri)

    refresher = Refresher(lambda: version, fetch, lambda: None, poll_seconds=1.0)
    refresher.look()
    settings = ServingSettings(model_name="easq", cache_dir=cache, queue_seconds=DEADLINE_SECONDS)
    return build_api(RankerReplica(settings, refresher, "r0"))


def test_a_stopped_lane_is_told_once_and_that_it_goes_on(version, serving_at, tmp_path):
    stopped: list[str | None] = ["version 6 is blocked: it lost 3 %"]
    models = SqliteLog(tmp_path / "models.db")
    follower = DeltaFollower(models, lambda write: write(), lambda: stopped[0])
    refresher = Refresher(lambda: version, lambda v: Path(v.uri), lambda: None, 1.0, follower)
    refresher.look()
    api = build_api(RankerReplica(ServingSettings(model_name="easq"), refresher, "r0"))
    console = Console(file=io.StringIO(), width=200)
    with serving_at(api) as url:
        told = print_lane(console, url, print_lane(console, url, None))
        stopped[0] = None
        refresher.look()
        assert print_lane(console, url, told) is None
    assert print_lane(console, url, told) == told, "a service that is away has said nothing new"
    assert console.file.getvalue().splitlines() == [
        "the lane is stopped, no deltas are served: version 6 is blocked: it lost 3 %",
        "deltas are served again",
    ]


@pytest.fixture
def url(version, serving_at, tmp_path) -> Iterator[str]:
    with serving_at(_api(version, tmp_path)) as url:
        yield url


def _plan(**settings) -> ViewingPlan:
    return ViewingPlan(**{"seconds": 1.0, "feedback": False, "bucket_seconds": 1000} | settings)


def test_viewers_ask_at_their_rate_and_judge_what_they_are_shown(history, url, tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger, run_viewers(url, history, _plan(rate=60), ledger) as crowd:
        assert crowd.wait(DEADLINE_SECONDS)
        told = crowd.statistics()
    assert told.requests == 60
    assert not told.failed
    assert told.versions == {5: 60}
    assert (told.version, told.seq) == (5, -1)
    assert 0 < told.p50_ms <= told.p99_ms
    assert crowd.tally.latencies().shape == (60, 2)
    [(_, judged)] = told.buckets
    assert judged.requests == 60
    assert 0 < judged.ndcg < judged.best_ndcg <= 1
    lines = [line for line in read_ledger(path) if isinstance(line, RankedLine)]
    assert len({line.request_id for line in lines}) == 60
    assert {line.version for line in lines} == {5}
    assert "60 rankings" in summary(told)[0]


def test_without_a_rate_viewers_ask_as_soon_as_they_are_answered_until_stopped(history, url):
    plan = _plan(seconds=1000, rate=None, viewers=2)
    came = threading.Event()
    audience, asked = Audience(config_of(history), "t"), Counter()

    def seen(request: dict, response: dict) -> None:
        assert response["item_id"] == [i for i in response["item_id"] if i in _items(request)]
        asked[request["request_id"]] += 1
        if len(asked) > 50:
            came.set()

    with Viewers(url, audience, plan, seen=seen) as crowd:
        assert came.wait(DEADLINE_SECONDS)
        assert not crowd.wait(seconds=0)
        crowd.stop()
        assert crowd.wait(DEADLINE_SECONDS)
    told = crowd.statistics()
    assert told.requests == len(asked)
    assert set(asked.values()) == {1}


def _items(request: dict) -> list[int]:
    return request["candidates"]["item_id"]


def test_refusals_are_counted_by_their_code(history, serving_at, tmp_path):
    with serving_at(_api(None, tmp_path)) as url, run_viewers(url, history, _plan()) as crowd:
        assert crowd.wait(DEADLINE_SECONDS)
        told = crowd.statistics()
    assert told.requests == 0
    assert set(told.failed) == {"503 no_model"}
    assert np.isnan(told.p50_ms)
    assert summary(told)


def test_a_service_that_is_not_there_is_a_failure_and_no_end(history):
    url = f"http://127.0.0.1:{free_port()}"
    with run_viewers(url, history, _plan(seconds=0.5, rate=None, viewers=1)) as crowd:
        assert crowd.wait(DEADLINE_SECONDS)
    failed = crowd.statistics().failed
    assert set(failed) == {"ClientConnectorError"}
    assert failed["ClientConnectorError"] < 10


def test_what_goes_wrong_in_a_crowd_reaches_whoever_waits(history, url):
    def broken(request: dict, response: dict) -> None:
        raise KeyError("seen")

    audience = Audience(config_of(history), "t")
    with Viewers(url, audience, _plan(), seen=broken) as crowd:
        with pytest.raises(ExceptionGroup) as problem:
            crowd.wait(DEADLINE_SECONDS)
    assert problem.group_contains(KeyError)


def test_the_command_tells_what_the_viewers_saw(history, url, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    options = ["--rate", "40", "--seconds", "0.5", "--no-feedback", "--ledger", str(ledger)]
    told = CliRunner().invoke(
        COMMANDS, ["viewers", f"{url}/", "--history", str(history.root), *options]
    )
    assert told.exit_code == 0, told.output
    assert "20 rankings" in told.output
    assert "version 5 seq -1; 0 failed, 0 refused" in told.output
    assert len(list(read_ledger(ledger))) == 20


def test_buckets_end_with_their_time_and_the_last_with_the_crowd():
    tally, z = Tally(satisfied_above=0.7, bucket_seconds=2.0), np.array([1.0, 0.0])
    for seconds in (0.5, 1.5, 7.0):
        tally.ranked(seconds, 1.0, version=1, seq=0, shown=Shown(z, z, np.array([0, 1])))
    ended = [(b.start_seconds, b.satisfaction.requests) for b in tally.statistics().buckets]
    assert ended == [(0.0, 2)]
    tally.finish()
    ended = [(b.start_seconds, b.satisfaction.requests) for b in tally.statistics().buckets]
    assert ended == [(0.0, 2), (6.0, 1)]


def test_events_close_together_go_out_at_once_when_the_last_is_due():
    events = [ViewerEvent(after, {"event_id": f"{after:g}"}) for after in (2.0, 3.0, 20.0, 22.0)]
    sent = [(b.due_seconds, [e["event_id"] for e in b.events]) for b in batches(events, speed=10)]
    assert sent == [(0.3, ["2", "3"]), (2.2, ["20", "22"])]
    assert [len(b.events) for b in batches(events, speed=1)] == [1, 1, 1, 1]
    assert [len(b.events) for b in batches(events, speed=1000)] == [4]
    assert not list(batches([], speed=1))
