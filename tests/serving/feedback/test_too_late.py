"""Behaviour that the API accepts is learnt: it says itself what comes too late for that."""

import numpy as np
import pyarrow as pa
import pytest

from easq.events import EVENT, TICK
from easq.feedback_token import read
from easq.join import JoinConfig
from easq.join_log import JoinedPartition
from easq.log.interface import EVENTS
from serving.config import ServingSettings
from serving.event_check import SLACK_SECONDS, BatchCheck, RejectedError
from serving.event_rate import EventRate


@pytest.mark.parametrize("feedback_seconds", [2.0, 30.0])
def test_what_is_accepted_until_the_last_moment_is_learnt_by_the_joiner(
    client, log, body, behaviour, signing_key, feedback_seconds
):
    ranking = client.post("/v1/rank", json=body).json()
    issued = read(ranking["token"], signing_key, 0).issued_at_ms
    settings = ServingSettings(feedback_seconds=feedback_seconds)
    about = {"token": ranking["token"], "item_id": ranking["item_id"][0], "watched_seconds": 0}
    rows, refused = [], set()
    for after in np.linspace(0, 1.2 * feedback_seconds, 121):
        check = BatchCheck(signing_key, EventRate(1000), settings, issued + int(1000 * after))
        try:
            rows.append(check.check(behaviour | about | {"event_id": f"{after}"}).row)
        except RejectedError as error:
            refused.add(error.code)
    assert refused == {"too_late"}
    assert rows
    slack_ms = int(1000 * min(SLACK_SECONDS, 0.1 * feedback_seconds))
    rows[-1:-1] = [clock(rows[-1]["received_at_ms"] + slack_ms - 1)]  # of another replica
    log.append(EVENTS, 1, pa.Table.from_pylist(rows, EVENT))
    joined = JoinedPartition(log, 1, JoinConfig(feedback_seconds=feedback_seconds))
    joined.step()
    assert joined.joiner.counts["behaviours"] == len(rows) - 1
    assert not joined.joiner.counts["late behaviours"]


def clock(at_ms):
    return {"kind": TICK, "event_id": "", "user_id": 0, "received_at_ms": at_ms}


def test_late_behaviour_is_told_so_and_an_answer_is_taken_as_long_as_its_token_lives(
    running, token, behaviour, answer
):
    client = running(feedback_seconds=30.0)
    old = {"token": token(age_seconds=60)}
    late, asked = client.post(
        "/v1/events", json={"events": [behaviour | old, answer | old]}
    ).json()["results"]
    assert (late["status"], late["code"]) == ("rejected", "too_late")
    assert late["message"].startswith("Behaviour is taken for 29 s after its ranking")
    assert asked["status"] == "accepted"


def test_an_event_sent_again_too_late_is_told_so_and_the_first_counts(
    running, behaviour, rows_of, token
):
    sent = {"events": [behaviour | {"token": token(age_seconds=60)}]}
    results = [
        running(feedback_seconds=seconds).post("/v1/events", json=sent).json()["results"][0]
        for seconds in (3600.0, 30.0)
    ]
    assert [result["status"] for result in results] == ["accepted", "rejected"]
    assert results[1]["code"] == "too_late"
    assert [row["event_id"] for row in rows_of(EVENTS, 1)] == [behaviour["event_id"]]
