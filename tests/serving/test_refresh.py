"""A replica follows the champion, and keeps what it has when that goes wrong."""

import logging
import time

import pytest

from serving.refresh import Refresher


def served(refresher: Refresher) -> int | None:
    return refresher.live and refresher.live.version.version


def test_a_new_champion_is_served_after_one_look(shelf, refresher):
    shelf.publish(1)
    refresher.look()
    assert served(refresher) == 1
    shelf.publish(2)
    assert served(refresher) == 1
    refresher.look()
    assert served(refresher) == 2


def test_rolling_the_alias_back_serves_the_older_version_again(shelf, refresher):
    shelf.publish(1)
    first = shelf.named
    refresher.look()
    shelf.publish(2)
    refresher.look()
    shelf.named = first
    refresher.look()
    assert served(refresher) == 1


def test_looking_again_loads_nothing(shelf, refresher):
    shelf.publish(1)
    refresher.look()
    before = refresher.live
    refresher.look()
    assert refresher.live is before


def test_old_versions_may_go_after_a_swap_and_only_then(shelf, refresher):
    shelf.publish(1)
    for _ in range(3):
        refresher.look()
    assert shelf.evictions == 1
    (shelf.publish(2) / "manifest.json").unlink()
    refresher.look()
    assert shelf.evictions == 1
    shelf.publish(3)
    refresher.look()
    assert shelf.evictions == 2


def test_a_registry_that_is_away_keeps_the_live_version(shelf, refresher, client, body):
    shelf.publish(1)
    refresher.look()
    shelf.away = ConnectionError("database is locked")
    refresher.look()
    assert client.post("/v1/rank", json=body).json()["model"]["version"] == 1
    assert "database is locked" in client.get("/v1/model").json()["refresh"]["problem"]
    shelf.away = None
    refresher.look()
    assert client.get("/v1/model").json()["refresh"]["problem"] is None


@pytest.mark.parametrize("file", ["ranker.safetensors", "version.json", "golden.arrow"])
def test_a_damaged_version_is_refused_and_the_live_one_stays(shelf, refresher, file):
    shelf.publish(1)
    refresher.look()
    path = shelf.publish(2) / file
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    refresher.look()
    assert served(refresher) == 1
    assert refresher.report.champion == 2
    assert "version 2 is refused" in refresher.report.problem
    assert file in refresher.report.problem


def test_a_refused_version_is_not_loaded_again_and_the_next_one_is(shelf, refresher):
    path = shelf.publish(1)
    (path / "manifest.json").rename(path / "aside")
    refresher.look()
    (path / "aside").rename(path / "manifest.json")
    refresher.look()
    assert served(refresher) is None
    shelf.publish(2)
    refresher.look()
    assert served(refresher) == 2


def test_a_problem_is_logged_once_however_often_it_is_met(shelf, refresher, caplog):
    shelf.away = ConnectionError("refused")
    with caplog.at_level(logging.INFO, logger="ray.serve"):
        for _ in range(5):
            refresher.look()
    assert len(caplog.records) == 1


def test_a_started_refresher_finds_a_version_by_itself_and_stops(shelf):
    refresher = Refresher(shelf.champion, shelf.fetch, shelf.evict, poll_seconds=0.01)
    refresher.start()
    shelf.publish(1)
    deadline = time.monotonic() + 10
    while served(refresher) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert served(refresher) == 1
    refresher.stop()
    refresher.thread.join(5)
    assert not refresher.thread.is_alive()


def test_after_the_first_look_what_it_found_is_on_air(shelf):
    refresher = Refresher(shelf.champion, shelf.fetch, shelf.evict, poll_seconds=1000)
    assert not refresher.wait_for_first_look(0)
    shelf.publish(1)
    refresher.start()
    assert refresher.wait_for_first_look(60)
    assert served(refresher) == 1
    refresher.stop()


def test_an_empty_registry_keeps_a_replica_waiting_for_one_look_only(shelf):
    refresher = Refresher(shelf.champion, shelf.fetch, shelf.evict, poll_seconds=1000)
    refresher.start()
    assert refresher.wait_for_first_look(60)
    assert served(refresher) is None
    refresher.stop()
