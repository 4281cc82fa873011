"""POST /v1/rank with a log: the impression is there before the answer, the token points at it."""

import json
import time

import pytest
from fastapi.testclient import TestClient

from easq.feedback_token import read
from easq.impression import logged_schema
from easq.log.interface import EVENTS
from easq.log.ipc import from_bytes
from easq.samples import request_columns
from serving.api import build_api
from serving.event_contract import EVENTS_EXAMPLE, RESULTS_EXAMPLE, EventsRequest, EventsResponse


def rank(client, body, **more):
    answer = client.post("/v1/rank", json=body | more)
    assert answer.status_code == 200
    return answer.json()


def opened(ranking, signing_key):
    return read(ranking["token"], signing_key, time.time_ns() // 1_000_000)


def test_the_token_points_at_the_impression_of_its_ranking(client, body, rows_of, signing_key):
    body["candidates"]["duration_seconds"] = [14.5, 0, 9]
    ranking = rank(client, body, top_k=2)
    token = opened(ranking, signing_key)
    assert (token.partition, token.user_id, token.request_id) == (7 % 2, 7, "r1")
    assert token.item_id.tolist() == ranking["item_id"]
    seconds = dict(zip(body["candidates"]["item_id"], [14.5, 0, 9], strict=True))
    assert token.duration_seconds.tolist() == [seconds[i] for i in ranking["item_id"]]
    assert token.asked.tolist() == ranking["asked"]
    event = rows_of(EVENTS, token.partition)[token.impression_offset]
    assert (event["kind"], event["event_id"], event["user_id"]) == ("impression", "r1", 7)
    assert event["expires_at_ms"] == token.expires_at_ms == token.issued_at_ms + 3_600_000
    assert event["received_at_ms"] == token.issued_at_ms
    assert ranking["feedback"] == "on"


def test_the_impression_holds_every_candidate_as_it_was_scored(
    client, refresher, body, rows_of, offline_scores
):
    body["candidates"]["duration_seconds"] = [14.5, 0, 9]
    ranking = rank(client, body, top_k=1)
    table = from_bytes(rows_of(EVENTS, 1)[0]["impression"])
    live = refresher.live
    assert table.schema == logged_schema(live.ranker.spec)
    (row,) = table.to_pylist()
    assert row["item_id"] == body["candidates"]["item_id"]
    assert row["duration_seconds"] == [14.5, 0, 9]
    assert (row["model_name"], row["model_version"], row["model_seq"]) == ("easq", 1, -1)
    assert row["request_time_ms"] == body["request_time_ms"]
    logged = dict(zip(row["item_id"], row["score"], strict=True))
    assert logged == pytest.approx(offline_scores(live.ranker, body), abs=1e-6)
    assert live.ranker.score(request_columns(table)).tolist() == row["score"]
    returned = [item in ranking["item_id"] for item in row["item_id"]]
    assert row["propensity"] == pytest.approx([0.005 * r for r in returned])


def test_every_impression_has_an_offset_of_its_own(client, body, signing_key):
    rankings = [rank(client, body, request_id=f"r{i}") for i in range(5)]
    tokens = [opened(ranking, signing_key) for ranking in rankings]
    assert [t.impression_offset for t in tokens] == list(range(5))


def test_a_user_is_asked_about_one_item_and_then_left_alone(running, body):
    client = running(ask_share=1.0)
    first, second = (rank(client, body, request_id=r) for r in ("a", "b"))
    assert sum(first["asked"]) == 1
    assert sum(second["asked"]) == 0
    other = rank(client, body | {"user": body["user"] | {"user_id": 8}})
    assert sum(other["asked"]) == 1
    report = client.get("/v1/model").json()["feedback"]
    assert (report["impressions"], report["offered"]) == (3, 2)


def test_nobody_is_asked_where_the_share_is_nothing(running, body, rows_of):
    client = running(ask_share=0.0)
    assert not any(any(rank(client, body, request_id=f"r{i}")["asked"]) for i in range(50))
    assert from_bytes(rows_of(EVENTS, 1)[0]["impression"])["propensity"].to_pylist() == [[0.0] * 3]


def test_without_a_log_a_ranking_has_no_token(replica, refresher, shelf, body):
    shelf.publish(1)
    refresher.look()
    client = TestClient(build_api(replica))
    ranking = rank(client, body)
    assert (ranking["token"], ranking["feedback"]) == (None, "off")
    assert ranking["asked"] == [False] * 3
    assert client.get("/v1/model").json()["feedback"] is None
    refused = client.post("/v1/events", json={"events": [{}]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (501, "feedback_off")


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        ([1, -0.5, 2], "out_of_range"),
        ([1, float("nan"), 2], "not_finite"),
        ([1, "9", 2], "wrong_type"),
        ([1, 2], "unequal_lengths"),
    ],
)
def test_bad_durations_are_refused(client, body, seconds, code):
    body["candidates"]["duration_seconds"] = seconds
    answer = client.post("/v1/rank", content=json.dumps(body))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == (code, "candidates.duration_seconds")


def test_durations_change_no_score(client, body):
    plain = rank(client, body)["score"]
    body["candidates"]["duration_seconds"] = [1.0, 2.0, 3.0]
    assert rank(client, body)["score"] == plain


def test_the_page_describes_both_routes(client):
    EventsRequest.model_validate(EVENTS_EXAMPLE)
    EventsResponse.model_validate(RESULTS_EXAMPLE)
    post = client.get("/openapi.json").json()["paths"]["/v1/events"]["post"]
    assert set(post["responses"]) >= {"200", "400", "401", "413", "422", "501", "503", "507"}
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["examples"] == [EVENTS_EXAMPLE]
    kinds = [
        e["properties"]["kind"]["const"] for e in schema["properties"]["events"]["items"]["anyOf"]
    ]
    assert kinds == ["behaviour", "answer"]
