"""Replicas of a machine, and a service that starts again, sign with one key."""

import threading

import pytest

from easq.log.sqlite import SqliteLog
from serving import up
from serving.config import ServingSettings
from serving.token_key import token_key


def settings(tmp_path, **more):
    return ServingSettings(token_key_file=tmp_path / "state" / "token.key", **more)


def test_a_given_key_is_used_and_no_file_is_made(tmp_path):
    given = settings(tmp_path, token_key="sixteen letters!")
    assert token_key(given) == b"sixteen letters!"
    assert list(tmp_path.iterdir()) == []


def test_replicas_that_start_together_share_a_new_key(tmp_path):
    keys, together = [], threading.Barrier(8)

    def start():
        together.wait(60)
        keys.append(token_key(settings(tmp_path)))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert len(keys[0]) == 64
    (path,) = (tmp_path / "state").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_may_read_is_refused(tmp_path):
    token_key(settings(tmp_path))
    path = settings(tmp_path).token_key_file
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        token_key(settings(tmp_path))


def test_an_empty_key_file_is_refused(tmp_path):
    token_key(settings(tmp_path))
    settings(tmp_path).token_key_file.write_text("\n")
    with pytest.raises(ValueError, match="is empty: remove it"):
        token_key(settings(tmp_path))


def test_a_short_key_is_refused_and_not_printed(monkeypatch, capsys):
    monkeypatch.setenv("EASQ_TOKEN_KEY", "too short")
    with pytest.raises(SystemExit):
        up.main()
    told = capsys.readouterr().err
    assert "EASQ_TOKEN_KEY: " in told
    assert "at least 16" in told
    assert "too short" not in told


def test_tokens_of_a_log_that_was_replaced_are_refused_one_by_one(
    running, body, behaviour, tmp_path
):
    ranking = running().post("/v1/rank", json=body).json()
    client = running(SqliteLog(tmp_path / "narrower.db", partitions=1))
    fresh = client.post("/v1/rank", json=body).json()
    batch = [
        behaviour | {"event_id": f"e{i}", "token": of["token"], "watched_seconds": 0}
        for i, of in enumerate((ranking, fresh))
    ]
    answer = client.post("/v1/events", json={"events": batch})
    assert answer.status_code == 200
    assert [r["code"] for r in answer.json()["results"]] == ["forged_token", None]
