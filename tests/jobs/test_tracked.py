"""What MLflow did not take when a run ended, it gets when the same command is given again."""

import torch
from rich.console import Console

from easq.registry import champion
from easq.train.config import parse_config
from easq.train.latest import Latest, write_latest
from easq.train.learner import Learner
from easq.train.run_folder import claim, run_folder
from easq.train.share import share_of
from jobs.tracked import owes_mlflow
from jobs.train import train_run


def completed_run(history, tmp_path, uri):
    """A run that has learnt everything and died before MLflow heard of it."""
    tree = {
        "run": {"name": "r", "storage": str(tmp_path / "runs")},
        "data": {"history": str(history.root)},
        "model": {"width": 32},
        "tracking": {"uri": uri},
    }
    config = parse_config(tree, "test")
    learner = Learner(config, history.description.features, torch.device("cpu"))
    window = history.windows()[0]
    learner.learn(share_of(history.read(window), window, 1, 0, 1))
    claim(config, history.description)
    folder = run_folder(config) / "window-000001"
    folder.mkdir()
    learner.save(folder)
    write_latest(run_folder(config), Latest(checkpoint=folder.name, window=1, step=1))
    return config


def test_a_complete_run_that_mlflow_missed_is_registered_by_the_next_start(
    make_history, tmp_path, mlflow_uri
):
    config = completed_run(make_history(32), tmp_path, mlflow_uri)
    console = Console(quiet=True)
    assert owes_mlflow(config)
    train_run(config, console)
    published = champion(mlflow_uri, "easq-ranker")
    assert published is not None
    assert not owes_mlflow(config)
    (run_folder(config) / "window-000001" / "weights.safetensors").unlink()
    train_run(config, console)  # nothing is owed, so nothing is read or moved
    assert champion(mlflow_uri, "easq-ranker") == published
