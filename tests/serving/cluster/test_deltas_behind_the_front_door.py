"""Deltas reach replicas that run as users run them."""

import json

import pytest

from easq.registry import publish

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_replicas_have_the_trainers_weights_after_each_window(serving, online_run, monkeypatch):
    run = online_run(3)
    monkeypatch.setenv("EASQ_LOG", f"sqlite:///{run.log.path}")
    with serving(replicas=1, poll_seconds=0.3) as service:
        publish(service.tracking_uri, "easq", run.save("v1")[0])
        service.wait_until_ready()
        connection = service.connect()
        for offset in range(3):
            run.learn()
            service.wait_until(lambda seq=offset: live(connection)["seq"] == seq)
            assert live(connection)["digest"] == run.digest()


def live(connection) -> dict:
    return json.loads(connection.ask("/v1/model").body)["live"]
