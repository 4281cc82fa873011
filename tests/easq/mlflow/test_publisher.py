"""Checkpoints become versions beside the training, in order, whatever MLflow does."""

import shutil
import time
from pathlib import Path

import pytest

from easq.artefact import load_ranker
from easq.publisher import Publisher
from easq.registry import CANDIDATE, aliased, champion, fetch
from easq.registry_client import connect
from easq.tracking import start_run
from easq.train.latest import Latest, write_latest

NAME = "easq-ranker"


@pytest.fixture
def run_id(trained, mlflow_uri, monkeypatch):
    monkeypatch.setattr("easq.publisher.POLL_SECONDS", 0.02)
    return start_run(mlflow_uri, "easq", "test", trained.config, trained.history, trained.run_dir)


@pytest.fixture
def start(trained, run_id):
    def begin(every_minutes: float = 60.0, gate: bool = False) -> Publisher:
        tracking = trained.config.tracking.model_copy(
            update={"register_every_minutes": every_minutes, "gate": gate}
        )
        return Publisher(trained.config, tracking, trained.history, trained.run_dir, run_id)

    return begin


def learn(trained) -> Path:
    checkpoint = trained.learn()
    position = trained.learner.position
    write_latest(
        trained.run_dir,
        Latest(checkpoint=checkpoint.name, window=position.next_window, step=position.step),
    )
    return checkpoint


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def windows_registered(uri: str) -> list[str]:
    found = connect(uri).search_model_versions(f"name = '{NAME}'")
    return [v.tags["easq.window"] for v in sorted(found, key=lambda v: int(v.version))]


def test_the_first_checkpoint_is_published_at_once_and_the_last_at_the_end(
    trained, start, mlflow_uri, tmp_path
):
    publisher = start()
    learn(trained)
    until(lambda: publisher.published is not None)
    learn(trained)
    learn(trained)
    publisher.close()
    assert windows_registered(mlflow_uri) == ["1", "3"]
    newest = champion(mlflow_uri, NAME)
    position = load_ranker(fetch(mlflow_uri, newest, tmp_path / "cache")).file.position
    assert position == trained.learner.position


def test_versions_follow_every_few_minutes(trained, start, mlflow_uri):
    publisher = start(every_minutes=0.0001)
    for window in (1, 2, 3):
        learn(trained)
        until(lambda done=window: publisher.made is not None and publisher.made.window == done)
    publisher.close()
    assert windows_registered(mlflow_uri) == ["1", "2", "3"]


def test_versions_of_an_outage_follow_in_order(trained, start, mlflow_uri, caplog):
    publisher = start(every_minutes=0.0001)
    database = Path(mlflow_uri.removeprefix("sqlite:///"))
    aside = database.rename(database.with_suffix(".aside"))
    database.mkdir()  # a folder in its place cannot be opened
    for count in (1, 2, 3):
        learn(trained)
        until(lambda n=count: len(publisher.waiting) == n)
    assert caplog.text.count("registered later") == 1
    database.rmdir()
    aside.rename(database)
    until(lambda: not publisher.waiting)
    publisher.close()
    assert windows_registered(mlflow_uri) == ["1", "2", "3"]


def test_what_mlflow_did_not_take_is_registered_by_the_next_start(
    trained, start, mlflow_uri, caplog
):
    database = Path(mlflow_uri.removeprefix("sqlite:///"))
    aside = database.rename(database.with_suffix(".aside"))
    database.mkdir()
    publisher = start()
    checkpoint = learn(trained)
    publisher.close()
    assert "1 version(s) are not registered" in caplog.text
    database.rmdir()
    aside.rename(database)
    shutil.rmtree(checkpoint)
    start().close()
    assert windows_registered(mlflow_uri) == ["1"]


def test_a_restart_publishes_nothing_twice(trained, start, mlflow_uri):
    learn(trained)
    start().close()
    start().close()
    assert windows_registered(mlflow_uri) == ["1"]


def test_a_checkpoint_that_is_not_finite_is_not_published(trained, start, mlflow_uri, caplog):
    checkpoint = learn(trained)
    for tensor in trained.learner.state.ranker.state_dict().values():
        tensor.fill_(float("nan"))
    trained.learner.save(checkpoint)
    start().close()
    assert "not finite" in caplog.text
    assert champion(mlflow_uri, NAME) is None


def test_a_damaged_version_does_not_stand_in_the_way(trained, start, mlflow_uri, caplog):
    damaged = trained.run_dir / "versions" / "window-00000000"
    damaged.mkdir(parents=True)
    (damaged / "manifest.json").write_text("{}")
    learn(trained)
    start().close()
    assert "is dropped unregistered" in caplog.text
    assert windows_registered(mlflow_uri) == ["1"]


def test_without_a_checkpoint_nothing_is_published(start, mlflow_uri):
    start().close()
    assert champion(mlflow_uri, NAME) is None


def test_a_damaged_checkpoint_costs_no_later_one(trained, start, mlflow_uri, caplog):
    (learn(trained) / "weights.safetensors").write_bytes(b"")
    publisher = start(every_minutes=0.0001)
    until(lambda: "is not published" in caplog.text)
    learn(trained)
    publisher.close()
    assert windows_registered(mlflow_uri) == ["2"]


def test_a_latest_that_was_cut_short_is_waited_for(trained, start, mlflow_uri, caplog):
    publisher = start()
    latest = trained.run_dir / "latest.json"
    latest.write_text("")
    until(lambda: "latest.json cannot be read" in caplog.text)
    learn(trained)
    until(lambda: publisher.published is not None)
    publisher.close()
    assert windows_registered(mlflow_uri) == ["1"]


def test_where_a_gate_decides_new_versions_are_candidates_only(trained, start, mlflow_uri):
    publisher = start(gate=True)
    learn(trained)
    publisher.close()
    assert champion(mlflow_uri, NAME) is None
    assert aliased(mlflow_uri, NAME, CANDIDATE) == publisher.published
