"""A training and its tracking: neither's trouble is the other's, and what lacks is made up."""

import io
from pathlib import Path

import pytest
import ray
from rich.console import Console

from easq.registry import champion, publish
from easq.registry_client import connect
from easq.tracking import start_run
from easq.train.latest import Latest, write_latest
from jobs.tracked import owes_mlflow, tracked
from jobs.train import train_run

NAME = "easq-ranker"


@pytest.fixture
def complete(trained):
    """A run that learnt all of its windows, and then was killed."""
    uri = trained.config.tracking.uri
    start_run(uri, "easq", "test", trained.config, trained.history, trained.run_dir)
    for _ in range(4):
        checkpoint = trained.learn()
    position = trained.learner.position
    write_latest(trained.run_dir, Latest(checkpoint=checkpoint.name, window=4, step=position.step))
    return trained


def train_again(trained) -> str:
    console = Console(file=io.StringIO(), soft_wrap=True, markup=False)
    train_run(trained.config, console)
    assert not ray.is_initialized()
    return console.file.getvalue()


def statuses(uri: str) -> list[str]:
    client = connect(uri)
    experiment = client.get_experiment_by_name("easq")
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def test_starting_a_finished_run_again_takes_the_champion_from_nobody(complete, mlflow_uri):
    train_again(complete)
    finished = champion(mlflow_uri, NAME)
    next(iter(complete.learner.state.ranker.state_dict().values())).add_(0.5)
    other = complete.run_dir / "other"
    other.mkdir()
    complete.learner.save(other)
    newer = publish(mlflow_uri, NAME, complete.version(other))
    assert newer.digest != finished.digest
    train_again(complete)
    assert champion(mlflow_uri, NAME) == newer


def test_mlflow_away_at_the_end_costs_nothing_but_a_later_start(complete, mlflow_uri, caplog):
    database = Path(mlflow_uri.removeprefix("sqlite:///"))
    with tracked(complete.config):
        aside = database.rename(database.with_suffix(".aside"))
        database.mkdir()
    assert "has no end and no pictures" in caplog.text
    assert owes_mlflow(complete.config)
    database.rmdir()
    aside.rename(database)
    train_again(complete)
    assert champion(mlflow_uri, NAME) is not None
    assert statuses(mlflow_uri) == ["FINISHED"]


def test_damaged_scores_cost_neither_the_training_nor_the_version(complete, mlflow_uri, caplog):
    with tracked(complete.config):
        (complete.run_dir / "last_scores.json").write_text('{"cut')
    assert "MLflow lacks metrics" in caplog.text
    assert champion(mlflow_uri, NAME) is not None
    assert statuses(mlflow_uri) == ["FINISHED"]


def test_a_training_that_fails_still_fails_and_its_run_says_so(complete, mlflow_uri):
    with pytest.raises(ZeroDivisionError), tracked(complete.config):
        raise ZeroDivisionError
    assert statuses(mlflow_uri) == ["FAILED"]
    assert owes_mlflow(complete.config)
