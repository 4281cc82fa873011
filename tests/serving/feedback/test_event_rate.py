"""Limits: of a user's events a minute, of what strangers can write."""

import sqlite3

from easq.log.interface import REJECTED
from serving.event_rate import EventRate

MINUTE_MS = 60_000


def test_a_minute_takes_so_many_events_of_each_user():
    rate = EventRate(per_minute=2)
    assert [rate.takes(7, t) for t in (0, 1, 2, MINUTE_MS - 1)] == [True, True, False, False]
    assert rate.takes(8, 2)
    assert [rate.takes(7, MINUTE_MS + t) for t in (0, 1, 2)] == [True, True, False]


def test_the_memory_is_bounded_and_forgets_who_came_longest_ago():
    rate = EventRate(per_minute=1, room=2)
    assert [rate.takes(user, 0) for user in (1, 2, 1, 3)] == [True, True, False, True]
    assert len(rate) == 2
    assert [rate.takes(1, 0), rate.takes(2, 0)] == [False, True]


def test_what_is_given_back_may_come_again_in_its_minute():
    rate = EventRate(per_minute=2)
    assert [rate.takes(7, t) for t in (0, 1)] == [True, True]
    rate.give_back(7, 1)
    assert [rate.takes(7, t) for t in (2, 3)] == [True, False]
    assert rate.takes(7, MINUTE_MS)
    rate.give_back(7, 3)  # of a minute that is over
    rate.give_back(8, 3)
    assert [rate.takes(7, MINUTE_MS + t) for t in (1, 2)] == [True, False]


def test_a_batch_that_the_log_did_not_take_does_not_count(running, log, behaviour):
    client = running(events_per_minute=3)
    batch = {"events": [behaviour | {"event_id": f"e{i}"} for i in range(3)]}
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert [client.post("/v1/events", json=batch).status_code for _ in range(2)] == [503, 503]
    other.execute("ROLLBACK")
    taken = client.post("/v1/events", json=batch).json()["results"]
    assert [r["status"] for r in taken] == ["accepted"] * 3


def test_strangers_cannot_fill_the_disk(running, rows_of, eventually):
    client = running(rejections_per_minute=5)
    answer = client.post("/v1/events", json={"events": list(range(12))})
    assert len(answer.json()["results"]) == 12
    eventually(lambda: len(rows_of(REJECTED, 0)) == 5)
    assert client.get("/v1/model").json()["feedback"]["dead_letters_lost"] == 7
