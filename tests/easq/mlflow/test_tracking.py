"""A run in MLflow says what was trained on what, and logging never holds training up."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from easq.free_ports import free_port
from easq.registry_client import MlflowAwayError, connect
from easq.source_code import revision
from easq.tracking import LAST_SCORES, flat_params, start_run
from easq.tracking_end import finish_run
from easq.tracking_thread import Tracker
from easq.train.histogram import score_histogram
from easq.train.share import share_of


@pytest.fixture
def begin(trained, mlflow_uri):
    def start(uri: str = mlflow_uri) -> str:
        return start_run(uri, "easq", "test", trained.config, trained.history, trained.run_dir)

    return start


def test_nested_settings_become_dotted_names():
    tree = {"optim": {"batch": 8, "rate": 0.5}, "name": "a", "lora": None, "order": ["like"]}
    assert dict(flat_params(tree)) == {
        "optim.batch": "8",
        "optim.rate": "0.5",
        "name": "a",
        "lora": "null",
        "order": '["like"]',
    }


def test_a_run_records_configuration_lineage_and_environment(trained, begin, mlflow_uri):
    client, run_id = connect(mlflow_uri), begin()
    run = client.get_run(run_id)
    assert run.data.params["optim.batch"] == "8"
    assert run.data.params["loss.reference"] == "satisfaction"
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.digest == trained.history.description.digest
    assert json.loads(data.dataset.source)[0]["rows"] == 64
    assert json.loads(data.dataset.profile)["requests"] == 64
    code = revision()
    assert run.data.tags["mlflow.source.git.commit"] == code.sha
    assert run.data.tags["easq.git_dirty"] == str(code.dirty).lower()
    files = {file.path for file in client.list_artifacts(run_id)}
    assert files == {"config.json", "history.json", "environment.txt"}
    environment = Path(client.download_artifacts(run_id, "environment.txt")).read_text()
    assert "\nmlflow==" in environment


def test_artefacts_lie_beside_the_database_and_nowhere_else(
    begin, mlflow_uri, tmp_path, monkeypatch
):
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    run = connect(mlflow_uri).get_run(begin())
    database = Path(mlflow_uri.removeprefix("sqlite:///"))
    assert Path(run.info.artifact_uri).is_relative_to(database.parent)
    assert list(here.iterdir()) == []


def test_a_resumed_training_goes_on_in_the_same_run(begin, mlflow_uri):
    client, run_id = connect(mlflow_uri), begin()
    client.set_terminated(run_id, "FAILED")
    assert begin() == run_id
    assert client.get_run(run_id).info.status == "RUNNING"
    assert len(client.search_runs([client.get_run(run_id).info.experiment_id])) == 1


def test_a_training_resumes_while_mlflow_is_away(begin, trained):
    run_id = begin()
    known = trained.run_dir / "mlflow.json"
    away = nobody_listens()
    known.write_text(json.dumps({"uri": away, "run_id": run_id}))
    assert begin(away) == run_id


def test_the_first_start_needs_mlflow(begin, trained):
    with pytest.raises(MlflowAwayError, match="does not answer"):
        begin(nobody_listens())
    assert not (trained.run_dir / "mlflow.json").exists()


def test_a_deleted_run_is_explained(begin, mlflow_uri):
    connect(mlflow_uri).delete_run(begin())
    with pytest.raises(ValueError, match=r"Remove .*mlflow\.json"):
        begin()


def test_all_metrics_arrive_at_their_window(begin, mlflow_uri):
    run_id = begin()
    tracker = Tracker(mlflow_uri, run_id)
    for window in range(100):
        tracker.log(window, {f"loss/{k}": window + k / 100 for k in range(30)})
    tracker.close()
    history = connect(mlflow_uri).get_metric_history(run_id, "loss/7")
    assert [(m.step, m.value) for m in history] == [(w, w + 0.07) for w in range(100)]
    assert tracker.dropped == 0


def test_while_mlflow_is_away_logging_drops_the_oldest_and_never_waits():
    tracker = Tracker(nobody_listens(), "a" * 32, capacity=10)
    started = time.perf_counter()
    for window in range(1000):
        tracker.log(window, {"loss/main": 0.5})
    assert time.perf_counter() - started < 0.5
    assert len(tracker.entries) <= 10
    tracker.close()
    assert tracker.dropped == 1000


def test_what_was_logged_during_an_outage_arrives_after_it(begin, mlflow_uri, monkeypatch):
    run_id = begin()
    monkeypatch.setattr("easq.tracking_thread.RETRY_SECONDS", 0.05)
    database = Path(mlflow_uri.removeprefix("sqlite:///"))
    aside = database.rename(database.with_suffix(".aside"))
    database.mkdir()  # a folder in its place cannot be opened
    tracker = Tracker(mlflow_uri, run_id)
    tracker.log(0, {"loss/main": 0.5})
    while not tracker.troubled:
        time.sleep(0.01)
    tracker.log(1, {"loss/main": 0.25})
    database.rmdir()
    aside.rename(database)
    while tracker.entries:
        time.sleep(0.01)
    tracker.close()
    history = connect(mlflow_uri).get_metric_history(run_id, "loss/main")
    assert [(m.step, m.value) for m in history] == [(0, 0.5), (1, 0.25)]


def test_a_refused_metric_is_counted_and_the_next_ones_arrive(begin, mlflow_uri):
    run_id = begin()
    tracker = Tracker(mlflow_uri, run_id)
    tracker.log(0, {"ndcg@10": 0.5})
    while not tracker.dropped:
        time.sleep(0.01)
    tracker.log(1, {"ndcg_10": 0.5})
    tracker.close()
    assert connect(mlflow_uri).get_run(run_id).data.metrics == {"ndcg_10": 0.5}
    assert tracker.dropped == 1


def test_close_leaves_no_thread(mlflow_uri, begin):
    tracker = Tracker(mlflow_uri, begin())
    tracker.close()
    assert tracker.thread not in threading.enumerate()


def test_a_histogram_counts_every_score():
    histogram = score_histogram(np.arange(120.0), None)
    assert list(histogram) == ["main"]
    assert histogram["main"]["counts"] == [2] * 60
    assert histogram["main"]["edges"][0] == 0.0
    assert histogram["main"]["edges"][-1] == 119.0


def test_a_finished_run_has_pictures_and_a_model_card(trained, begin, mlflow_uri):
    run_id = begin()
    tracker = Tracker(mlflow_uri, run_id)
    windows = trained.history.windows(16)
    for window in windows:
        share = share_of(trained.history.read(window), window, len(windows), 0, 1)
        scores = trained.learner.score(share)
        tracker.log(window.index, scores.metrics | trained.learner.learn(share))
        histogram = score_histogram(scores.main, scores.satisfaction)
        tracker.log_json(LAST_SCORES, histogram | {"window": window.index})
    tracker.close()
    finish_run(mlflow_uri, run_id, trained.config, trained.history)
    client = connect(mlflow_uri)
    assert client.get_run(run_id).info.status == "FINISHED"
    plots = Path(client.download_artifacts(run_id, "plots"))
    expected = {"losses.png", "behaviour.png", "satisfaction.png", "experts.png", "scores.png"}
    assert {plot.name for plot in plots.iterdir()} == expected
    for plot in plots.iterdir():
        assert len(np.unique(imread(plot).reshape(-1, 4), axis=0)) > 20, plot.name
    card = Path(client.download_artifacts(run_id, "model_card.md")).read_text()
    digest = trained.history.description.digest
    for fact in (digest, "64 requests", "bypass, rank 8", "behaviour, NDCG@10", "@champion"):
        assert fact in card, fact


def test_a_run_that_failed_before_its_first_window_ends_too(trained, begin, mlflow_uri):
    run_id = begin()
    finish_run(mlflow_uri, run_id, trained.config, trained.history, "FAILED")
    client = connect(mlflow_uri)
    assert client.get_run(run_id).info.status == "FAILED"
    assert "model_card.md" in {file.path for file in client.list_artifacts(run_id)}


def nobody_listens() -> str:
    return f"http://127.0.0.1:{free_port()}"
