"""POST /v1/events: what is accepted is in the log, what is rejected says why."""

import asyncio
import json
import re
import time

import numpy as np
import pytest
from httpx import ASGITransport, AsyncClient

from easq.events import Answer
from easq.log.interface import EVENTS, REJECTED


def send(client, *events):
    answer = client.post("/v1/events", content=json.dumps({"events": events}))
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_accepted_events_are_in_the_log_with_what_their_token_says(
    client, behaviour, answer, rows_of
):
    results = send(client, behaviour, answer)
    assert [(r["event_id"], r["status"]) for r in results] == [
        ("e1", "accepted"),
        ("a1", "accepted"),
    ]
    first, second = rows_of(EVENTS, 1)
    assert (first["kind"], first["item_id"]) == ("behaviour", 501)
    assert (first["behaviours"], first["answer"]) == (["effective_view", "like"], None)
    assert first["watched_seconds"] == 8.5
    assert (second["kind"], second["item_id"]) == ("answer", 503)
    assert (second["behaviours"], second["answer"]) == (None, Answer.SATISFIED)
    assert second["client_time_ms"] == answer["client_time_ms"]
    for row in (first, second):
        assert (row["user_id"], row["request_id"], row["impression_offset"]) == (7, "r1", 40)
        assert abs(row["received_at_ms"] - time.time_ns() // 1_000_000) < 60_000
        assert row["expires_at_ms"] > row["received_at_ms"]


def test_events_are_taken_while_rankings_are_refused(running, body, behaviour, rows_of):
    api = running(queue_seconds=1e-9).app

    async def rush():
        async with AsyncClient(transport=ASGITransport(api), base_url="http://easq") as client:
            await client.post("/v1/rank", json=body)
            rankings = [client.post("/v1/rank", json=body) for _ in range(4)]
            return await asyncio.gather(
                *rankings, client.post("/v1/events", json={"events": [behaviour]})
            )

    *rankings, events = asyncio.run(rush())
    assert [answer.status_code for answer in rankings] == [200, 503, 503, 503]
    assert [result["status"] for result in events.json()["results"]] == ["accepted"]
    assert [row["kind"] for row in rows_of(EVENTS, 1)].count("behaviour") == 1


def test_the_token_of_a_ranking_opens_the_door(running, body, rows_of):
    client = running(ask_share=1.0, viewing_speed=1e9)
    ranking = client.post("/v1/rank", json=body).json()
    asked = ranking["item_id"][ranking["asked"].index(True)]
    common = {"token": ranking["token"], "item_id": asked, "watched_seconds": 7.0}
    seen = common | {"kind": "behaviour", "event_id": "e", "behaviours": []}
    said = common | {"kind": "answer", "event_id": "a", "answer": "dissatisfied"}
    assert [r["status"] for r in send(client, seen, said)] == ["accepted"] * 2
    impression, *events = rows_of(EVENTS, 1)
    assert impression["kind"] == "impression"
    assert [e["impression_offset"] for e in events] == [0, 0]


def test_events_of_several_users_go_to_their_partitions(client, behaviour, token, rows_of):
    other = behaviour | {"event_id": "e2", "token": token(partition=0, user_id=8)}
    send(client, behaviour, other)
    assert [r["event_id"] for r in rows_of(EVENTS, 1)] == ["e1"]
    assert [r["event_id"] for r in rows_of(EVENTS, 0)] == ["e2"]


@pytest.mark.parametrize(
    ("kind", "change", "code", "words"),
    [
        ("behaviour", {"token": "AQ"}, "malformed_token", "Expected the token of a ranking"),
        ("behaviour", {"token": "not a token"}, "malformed_token", "Send it unchanged"),
        ("behaviour", {"item_id": 504}, "unknown_item", "Item 504 was not in the response"),
        ("behaviour", {"item_id": 2**70}, "unknown_item", "was not in the response"),
        ("behaviour", {"watched_seconds": 600.0}, "watched_too_long", "600 s cannot have"),
        ("behaviour", {"watched_seconds": -1.0}, "invalid_event", "greater than or equal to 0"),
        ("behaviour", {"watched_seconds": float("nan")}, "invalid_event", "finite number"),
        ("behaviour", {"watched_seconds": float("inf")}, "invalid_event", "finite number"),
        ("behaviour", {"watched_seconds": 1e6}, "invalid_event", "less than or equal to 86400"),
        ("behaviour", {"watched_seconds": "8"}, "invalid_event", "got '8' of type str"),
        ("behaviour", {"behaviours": ["like", "purr"]}, "unknown_behaviour", "['purr']"),
        ("behaviour", {"behaviours": "like"}, "invalid_event", "valid list"),
        ("behaviour", {"event_id": ""}, "invalid_event", "at least 1 character"),
        ("behaviour", {"event_id": "e" * 129}, "invalid_event", "at most 128 characters"),
        ("behaviour", {"colour": 1}, "invalid_event", "Unknown key 'colour'"),
        ("behaviour", {"answer": "satisfied"}, "invalid_event", "Unknown key 'answer'"),
        ("behaviour", {"client_time_ms": -1}, "invalid_event", "greater than or equal to 0"),
        ("behaviour", {"kind": "wish"}, "invalid_event", "['answer', 'behaviour']"),
        ("behaviour", {"kind": ["answer"]}, "invalid_event", "['answer', 'behaviour']"),
        ("answer", {"item_id": 502, "watched_seconds": 8.0}, "not_asked", "Item 502 was not to be"),
        ("answer", {"watched_seconds": 6.9}, "before_trigger", "6.9 s of unknown length"),
        ("answer", {"item_id": 501, "watched_seconds": 6.9}, "before_trigger", "6.9 s of 20 s"),
        ("answer", {"answer": "very satisfied"}, "invalid_event", "'satisfied', 'dissatisfied'"),
        ("answer", {"answer": None}, "invalid_event", "got None"),
    ],
)  # fmt: skip
def test_each_bad_event_is_told_apart_and_kept_aside(
    client, behaviour, answer, rows_of, eventually, kind, change, code, words
):
    bad = (behaviour if kind == "behaviour" else answer) | {"event_id": "bad"} | change
    good = behaviour | {"event_id": "good"}
    rejected, accepted = send(client, bad, good)
    assert (rejected["status"], rejected["code"]) == ("rejected", code)
    assert words in rejected["message"]
    assert accepted["status"] == "accepted"
    assert [r["event_id"] for r in rows_of(EVENTS, 1)] == ["good"]
    eventually(lambda: len(rows_of(REJECTED, 0)) == 1)
    (row,) = rows_of(REJECTED, 0)
    assert (row["code"], row["message"]) == (code, rejected["message"])
    assert row["payload"] == json.dumps(bad)[:2000]
    report = client.get("/v1/model").json()["feedback"]
    assert (report["accepted"], report["rejected"]) == (1, {code: 1})


def test_a_missing_key_is_named(client, behaviour):
    del behaviour["token"]
    (result,) = send(client, behaviour)
    assert result["message"].startswith("Missing key 'token'")


@pytest.mark.parametrize("event", [None, 7, "like", [], {}])
def test_what_is_no_event_is_rejected_alone(client, behaviour, event):
    rejected, accepted = send(client, event, behaviour)
    assert (rejected["event_id"], rejected["code"]) == (None, "invalid_event")
    assert accepted["status"] == "accepted"


def test_a_token_under_another_key_is_forged(client, behaviour, token):
    (result,) = send(client, behaviour | {"token": token(key="another key, 16 letters")})
    assert result["code"] == "forged_token"
    assert "EASQ_TOKEN_KEY" in result["message"]


def test_an_old_token_has_expired(client, behaviour, token):
    (result,) = send(client, behaviour | {"token": token(age_seconds=3700)})
    assert result["code"] == "expired_token"
    assert re.match(r"The token expired 1\d\d s ago", result["message"])


def test_nobody_watches_faster_than_time_passes(client, running, answer, token):
    young = answer | {"token": token(age_seconds=3), "watched_seconds": 500.0}
    (result,) = send(client, young)
    assert (result["code"], result["field"]) == ("watched_too_long", "watched_seconds")
    (result,) = send(running(viewing_speed=500.0), young)
    assert result["status"] == "accepted"


def test_half_of_a_short_video_is_enough(client, answer, token):
    event = answer | {"token": token(asked=np.array([False, True, False])), "item_id": 502}
    assert send(client, event | {"watched_seconds": 4.0})[0]["status"] == "accepted"
    assert send(client, event | {"watched_seconds": 3.9})[0]["code"] == "before_trigger"


def test_an_id_counts_once_a_batch(client, behaviour, rows_of):
    first, second = send(client, behaviour, behaviour | {"item_id": 502})
    assert (first["status"], second["code"]) == ("accepted", "duplicate_event_id")
    assert [r["item_id"] for r in rows_of(EVENTS, 1)] == [501]
    assert send(client, behaviour)[0]["status"] == "accepted"  # the joiner knows it again


def test_a_wrong_clock_is_flagged_and_counted(client, behaviour, rows_of):
    wrong = behaviour | {"client_time_ms": 1_000}
    (result,) = send(client, wrong)
    assert (result["status"], result["clock_skewed"]) == ("accepted", True)
    assert rows_of(EVENTS, 1)[0]["client_time_ms"] == 1_000
    assert client.get("/v1/model").json()["feedback"]["clock_skewed"] == 1


def test_a_user_may_send_so_much_a_minute(running, behaviour, token):
    client = running(events_per_minute=3)
    events = [behaviour | {"event_id": f"e{i}"} for i in range(8)]
    other = behaviour | {"event_id": "other", "token": token(user_id=9)}
    codes = [r["code"] for r in send(client, *events, other)]
    assert codes == [None] * 3 + ["rate_limited"] * 5 + [None]


@pytest.mark.parametrize("change", [{"colour": "x" * 100_000}, {"x" * 100_000: "colour"}])
def test_long_events_are_cut_before_they_are_kept(client, behaviour, rows_of, eventually, change):
    (result,) = send(client, behaviour | change)
    assert len(json.dumps(result)) < 1000
    eventually(lambda: len(rows_of(REJECTED, 0)) == 1)
    (row,) = rows_of(REJECTED, 0)
    assert len(row["payload"]) == 2000
    assert len(row["message"]) < 1000


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("{", 400, "invalid_json"),
        ('{"events": [{"event_id": "\\ud800"}]}', 400, "invalid_json"),
        ("[]", 422, "invalid_request"),
        ("{}", 422, "invalid_request"),
        ('{"events": []}', 422, "invalid_request"),
        ('{"events": {}}', 422, "invalid_request"),
        ('{"events": [1], "more": 1}', 422, "invalid_request"),
        (json.dumps({"events": [0] * 513}), 413, "too_many_events"),
        (json.dumps({"events": ["x" * 9_000_000]}), 413, "body_too_large"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_whole(client, content, status, code):
    answer = client.post("/v1/events", content=content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_strangers_need_the_key(running, behaviour):
    client = running(api_key="secret")
    assert client.post("/v1/events", json={"events": [behaviour]}).status_code == 401
