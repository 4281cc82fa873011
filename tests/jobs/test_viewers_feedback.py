"""Simulated viewers before the real API with its log: what they are told, and what is there."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from easq.ledger import AcceptedLine, Ledger, read_ledger, read_progress, verdict
from easq.log.interface import EVENTS, Log
from easq.log.sqlite import SqliteLog
from easq.registry import Version
from jobs.viewer_statistics import ViewingStatistics
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan
from serving.api import build_api
from serving.config import ServingSettings
from serving.feedback import Feedback
from serving.refresh import Refresher
from serving.replica import RankerReplica

DEADLINE_SECONDS = 60
KEY = "sixteen letters!"
OFTEN = {"ask_share": 1.0, "ask_per_day": 1000, "ask_cooldown_seconds": 0.0, "viewing_speed": 1e6}
PATIENT = {"model_name": "easq", "token_key": KEY, "queue_seconds": DEADLINE_SECONDS}
PLAN = ViewingPlan(seconds=1.5, rate=60, speed=1e5, bucket_seconds=1000)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = SqliteLog(tmp_path / "log.db", partitions=2)
    yield log
    log.close()


def _api(version: Version, log: Log, **settings: Any) -> ASGIApp:
    refresher = Refresher(lambda: version, lambda v: Path(v.uri), lambda: None, poll_seconds=1.0)
    refresher.look()
    chosen = ServingSettings.model_validate(PATIENT | settings)
    return build_api(RankerReplica(chosen, refresher, "r0", Feedback(log, KEY.encode(), chosen)))


def _run(api: ASGIApp, serving_at, history, path: Path, plan: ViewingPlan) -> ViewingStatistics:
    with serving_at(api) as url, Ledger(path) as ledger:
        with run_viewers(url, history, plan, ledger) as crowd:
            assert crowd.wait(DEADLINE_SECONDS)
    return crowd.statistics()


def _accepted(path: Path) -> list[str]:
    return [line.event_id for line in read_ledger(path) if isinstance(line, AcceptedLine)]


def _logged(log: Log) -> list[dict[str, Any]]:
    rows = [log.read(EVENTS, p, 0, max_rows=1_000_000) for p in range(2)]
    return [row for part in rows if part is not None for row in part.table.to_pylist()]


def test_every_event_is_accepted_and_each_acceptance_is_in_the_log(
    version, log, serving_at, history, tmp_path
):
    path = tmp_path / "ledger.jsonl"
    told = _run(_api(version, log, **OFTEN), serving_at, history, path, PLAN)
    assert told.requests == 90
    assert not told.failed
    assert not told.rejected
    assert told.retries == told.unconfirmed == told.without_token == 0
    assert told.questions == 90  # one of each response's items
    assert 0 < told.answers == told.accepted["answer"] < 90
    kinds = Counter(row["kind"] for row in _logged(log))
    assert kinds == {"impression": 90, **told.accepted}
    assert Counter(_accepted(path)) == Counter(
        row["event_id"] for row in _logged(log) if row["kind"] != "impression"
    )
    fate = verdict(_accepted(path), [read_progress(log, p) for p in range(2)])
    assert len(fate.open) == sum(told.accepted.values())
    assert fate.lost == []


def test_an_event_whose_acceptance_was_lost_is_sent_again_under_its_id(
    version, log, serving_at, history, tmp_path
):
    path = tmp_path / "ledger.jsonl"
    api = _LosesReplies(_api(version, log, **OFTEN), replies=5)
    plan = PLAN.model_copy(update={"seconds": 0.5})
    told = _run(api, serving_at, history, path, plan)
    assert told.retries == 5
    assert told.unconfirmed == 0
    accepted = _accepted(path)
    times = Counter(row["event_id"] for row in _logged(log) if row["kind"] != "impression")
    assert len(set(accepted)) == len(accepted) == len(times)
    assert set(accepted) == set(times)
    assert max(times.values()) > 1


class _LosesReplies:
    """A service whose first replies to events get lost on the way, after their work is done."""

    def __init__(self, service: ASGIApp, replies: int) -> None:
        self.service, self.left = service, replies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != "/v1/events" or self.left == 0:
            await self.service(scope, receive, send)
            return
        self.left -= 1

        async def nobody_hears(message: Message) -> None:
            pass

        await self.service(scope, receive, nobody_hears)
        await send({"type": "http.response.start", "status": 502, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>bad gateway</html>"})


def test_viewers_who_live_faster_than_the_service_allows_are_refused(
    version, log, serving_at, history, tmp_path
):
    path = tmp_path / "ledger.jsonl"
    plan = PLAN.model_copy(update={"seconds": 0.5})
    told = _run(
        _api(version, log, **OFTEN | {"viewing_speed": 1.0}), serving_at, history, path, plan
    )
    assert told.rejected["watched_too_long"] > 0
    assert sum(told.accepted.values()) == len(_accepted(path))


def test_at_the_end_views_that_have_not_been_watched_are_dropped(
    version, log, serving_at, history, tmp_path
):
    plan = ViewingPlan(seconds=0.3, rate=60, speed=0.001, patience_seconds=0.1)
    told = _run(_api(version, log), serving_at, history, tmp_path / "ledger.jsonl", plan)
    assert told.requests > 0
    assert told.accepted == {}
    assert told.unconfirmed == 0
