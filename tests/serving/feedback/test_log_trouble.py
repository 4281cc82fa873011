"""A locked file, a full disk, a log that hangs: ranking goes on, events are told to come again."""

import asyncio
import sqlite3
import threading
import time

import pyarrow as pa
import pytest
from httpx import ASGITransport, AsyncClient

from easq.log.interface import EVENTS, LogAwayError
from easq.log.sqlite import SqliteLog
from serving.log_writer import LogWriter

ROWS = pa.table({"a": [1]})


class SmallDisk(SqliteLog):
    """A log whose file may not grow while `is_full`: SQLite itself says SQLITE_FULL."""

    is_full = False

    def append(self, topic, partition, rows, durable=True):
        pages = 1 if self.is_full else 2**30
        self._file.connection().execute(f"PRAGMA max_page_count = {pages}")
        return super().append(topic, partition, rows, durable)


class Hanging(SqliteLog):
    """A log whose appends of events wait until it is let go."""

    def __init__(self, path):
        super().__init__(path)
        self.came, self.let_go = threading.Event(), threading.Event()

    def append(self, topic, partition, rows, durable=True):
        if topic == EVENTS:
            self.came.set()
            assert self.let_go.wait(60)
        return super().append(topic, partition, rows, durable)


def batch(behaviour, count):
    return {"events": [behaviour | {"event_id": f"e{i}"} for i in range(count)]}


def check_that_it_ranks_on(client, body, lost):
    ranking = client.post("/v1/rank", json=body)
    assert ranking.status_code == 200
    assert ranking.json()["feedback"] == "away"
    assert ranking.json()["token"] is None
    assert ranking.json()["asked"] == [False] * 3
    report = client.get("/v1/model").json()["feedback"]
    assert (report["impressions"], report["impressions_lost"]) == (0, lost)
    assert report["problem"]


def check_that_all_is_well(client, body, behaviour):
    assert client.post("/v1/rank", json=body).json()["feedback"] == "on"
    answer = client.post("/v1/events", json=batch(behaviour, 1))
    assert answer.json()["results"][0]["status"] == "accepted"
    assert client.get("/v1/model").json()["feedback"]["problem"] is None


def test_a_locked_file(client, log, body, behaviour, rows_of):
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check_that_it_ranks_on(client, body, lost=1)
    answer = client.post("/v1/events", json=batch(behaviour, 3))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_away")
    assert answer.headers["retry-after"] == "1"
    assert "the log's file is locked" in answer.json()["error"]["message"]
    other.execute("ROLLBACK")
    assert rows_of(EVENTS, 1) == []
    assert client.get("/v1/model").json()["feedback"]["batches_refused"] == 1
    check_that_all_is_well(client, body, behaviour)


def test_an_offer_that_the_log_did_not_take_is_made_again_once_it_does(running, log, body):
    client = running(ask_share=1.0, ask_per_day=1)
    other = sqlite3.connect(log.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check_that_it_ranks_on(client, body, lost=1)
    assert client.get("/v1/model").json()["feedback"]["offered"] == 0
    other.execute("ROLLBACK")
    asked = [client.post("/v1/rank", json=body).json()["asked"] for _ in range(2)]
    assert [sum(one) for one in asked] == [1, 0]
    assert client.get("/v1/model").json()["feedback"]["offered"] == 1


def test_a_full_disk(running, body, behaviour, log, rows_of):
    disk = SmallDisk(log.path, partitions=2)
    client = running(disk, ask_share=1.0)
    disk.is_full = True
    body["request_id"] = "r" * 128
    check_that_it_ranks_on(client, body, lost=1)
    answer = client.post("/v1/events", json=batch(behaviour, 200))
    assert (answer.status_code, answer.json()["error"]["code"]) == (507, "log_full")
    assert "No event of this batch is taken" in answer.json()["error"]["message"]
    assert rows_of(EVENTS, 1) == []
    disk.is_full = False
    check_that_all_is_well(client, body, behaviour)
    assert [r["kind"] for r in rows_of(EVENTS, 1)] == ["impression", "behaviour"]


def test_what_a_full_disk_does_not_keep_of_rejected_events_is_counted(running, log, eventually):
    disk = SmallDisk(log.path, partitions=2)
    client = running(disk)
    disk.is_full = True
    rejected = client.post("/v1/events", json={"events": ["x" * 1000] * 20})
    assert {r["code"] for r in rejected.json()["results"]} == {"invalid_event"}
    eventually(lambda: client.get("/v1/model").json()["feedback"]["dead_letters_lost"] == 20)


def test_behind_a_log_that_hangs_nobody_waits_for_long(tmp_path):
    log = Hanging(tmp_path / "hanging.db")
    writer = LogWriter(log, stuck_seconds=0.0, room=2)

    async def append(patience):
        return await writer.append(EVENTS, 0, ROWS, False, patience)

    async def wait_and_be_refused():
        with pytest.raises(LogAwayError, match=r"has not answered for 0\.1 s"):
            await append(patience=0.1)
        assert log.came.is_set()
        with pytest.raises(LogAwayError, match="has not answered"):
            await append(patience=60)  # at once: the writer is stuck

    asyncio.run(wait_and_be_refused())
    log.let_go.set()
    writer.close()
    found = log.read(EVENTS, 0, 0)
    assert found is not None
    assert found.table.num_rows == 1  # what was under way when its asker gave up


def test_rankings_go_out_while_events_wait_for_the_disk(running, tmp_path, body, behaviour, token):
    log = Hanging(tmp_path / "hanging.db")
    api = running(log, log_patience_seconds=0.2).app
    events = batch(behaviour | {"token": token(partition=0, of=log)}, 2)

    async def both():
        async with AsyncClient(transport=ASGITransport(api), base_url="http://easq") as client:
            waiting = asyncio.create_task(client.post("/v1/events", json=events))
            while not log.came.is_set():
                await asyncio.sleep(0.01)
            ranking = await client.post("/v1/rank", json=body)
            assert not waiting.done()
            log.let_go.set()
            return ranking, await waiting

    ranking, accepted = asyncio.run(both())
    assert (ranking.status_code, ranking.json()["feedback"]) == (200, "away")
    assert [r["status"] for r in accepted.json()["results"]] == ["accepted"] * 2


def test_a_queue_has_an_end(tmp_path):
    log = Hanging(tmp_path / "hanging.db")
    writer = LogWriter(log, stuck_seconds=60.0, room=2)
    writer.submit(EVENTS, 0, ROWS, False)
    assert log.came.wait(60)
    kept = [writer.submit(EVENTS, 0, ROWS, False) for _ in range(2)]
    with pytest.raises(LogAwayError, match="2 appends wait for the log already"):
        writer.submit(EVENTS, 0, ROWS, False)
    log.let_go.set()
    assert [future.result(60).tolist() for future in kept] == [[1], [2]]
    writer.close()


def test_what_waits_together_is_appended_together_and_each_gets_its_offsets(tmp_path):
    log = Hanging(tmp_path / "hanging.db")
    writer = LogWriter(log)
    first = writer.submit(EVENTS, 0, ROWS, False)
    assert log.came.wait(60)
    sizes = [1, 3, 2]
    waiting = [writer.submit(EVENTS, 0, pa.table({"a": [0] * n}), True) for n in sizes]
    given_up = writer.submit(EVENTS, 0, ROWS, True)
    assert given_up.cancel()
    log.let_go.set()
    assert first.result(60).tolist() == [0]
    assert [f.result(60).tolist() for f in waiting] == [[1], [2, 3, 4], [5, 6]]
    writer.close()
    blobs = sqlite3.connect(log.path).execute("SELECT n FROM blob ORDER BY base").fetchall()
    assert blobs == [(1,), (6,)]


def test_rows_that_do_not_go_together_fail_for_those_who_sent_them_alone(tmp_path):
    log = Hanging(tmp_path / "hanging.db")
    writer = LogWriter(log)
    first = writer.submit(EVENTS, 0, ROWS, False)
    assert log.came.wait(60)
    unlike = [writer.submit(EVENTS, 1, t, True) for t in (ROWS, pa.table({"b": ["x"]}))]
    log.let_go.set()
    for future in unlike:
        with pytest.raises(pa.ArrowInvalid):
            future.result(60)
    assert first.result(60).tolist() == [0]
    assert writer.submit(EVENTS, 0, ROWS, True).result(60).tolist() == [1]
    writer.close()


def test_a_replica_that_starts_while_the_log_is_away_ranks_and_finds_it_later(
    running, log, body, behaviour
):
    class Away(SqliteLog):
        answers = threading.Event()

        def partitions(self, topic):
            if not self.answers.is_set():
                raise LogAwayError("no broker")
            return super().partitions(topic)

    client = running(away := Away(log.path))
    check_that_it_ranks_on(client, body, lost=1)
    away.answers.set()
    deadline = time.monotonic() + 60
    while client.post("/v1/rank", json=body).json()["feedback"] != "on":
        assert time.monotonic() < deadline
    check_that_all_is_well(client, body, behaviour)
