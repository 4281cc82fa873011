"""What workers write into the run's folder reaches MLflow, each window once."""

import json
import time

import pytest

from easq.registry_client import connect
from easq.tracking import start_run
from easq.tracking_follow import RunFollower
from easq.tracking_thread import Tracker


@pytest.fixture
def run_id(trained, mlflow_uri, monkeypatch):
    monkeypatch.setattr("easq.tracking_follow.POLL_SECONDS", 0.02)
    return start_run(mlflow_uri, "easq", "test", trained.config, trained.history, trained.run_dir)


@pytest.fixture
def follow(trained, mlflow_uri, run_id):
    return lambda: RunFollower(trained.run_dir, Tracker(mlflow_uri, run_id))


@pytest.fixture
def losses(mlflow_uri, run_id):
    def read() -> list[tuple[int, float]]:
        points = connect(mlflow_uri).get_metric_history(run_id, "loss/main")
        return [(p.step, p.value) for p in points]

    return read


def write(trained, *windows: int, ending: str = "\n") -> None:
    lines = [
        json.dumps({"window": w, "day": "2022-04-25", "step": 10 * w, "loss/main": w / 10})
        for w in windows
    ]
    with (trained.run_dir / "windows.jsonl").open("a") as file:
        file.write("\n".join(lines) + ending)


def test_each_window_is_logged_under_its_number_and_words_are_left_out(
    trained, follow, losses, mlflow_uri, run_id
):
    follower = follow()
    write(trained, 0, 1)
    write(trained, 2)
    follower.close()
    assert losses() == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert set(connect(mlflow_uri).get_run(run_id).data.metrics) == {"loss/main", "step"}


def test_a_restart_logs_only_what_is_new(trained, follow, losses):
    write(trained, 0, 1)
    follow().close()
    write(trained, 2)
    follow().close()
    assert losses() == [(0, 0.0), (1, 0.1), (2, 0.2)]


def test_a_line_still_being_written_waits(trained, follow, losses):
    write(trained, 0)
    write(trained, 1, ending="")
    follow().close()
    assert losses() == [(0, 0.0)]


def test_windows_that_are_learnt_again_are_not_logged_twice(trained, follow, losses):
    follower = follow()
    write(trained, 0, 1, 2)
    while follower.logged < 2:
        time.sleep(0.01)
    path = trained.run_dir / "windows.jsonl"
    kept = path.with_name("kept")
    kept.write_text(path.read_text().splitlines(True)[0])
    kept.rename(path)
    write(trained, 1, 2, 3)
    follower.close()
    assert [window for window, _ in losses()] == [0, 1, 2, 3]


def test_the_last_scores_become_an_artefact(trained, follow, mlflow_uri, run_id):
    (trained.run_dir / "last_scores.json").write_text('{"window": 7}')
    follow().close()
    files = connect(mlflow_uri).list_artifacts(run_id, "scores")
    assert [file.path for file in files] == ["scores/last_window.json"]
