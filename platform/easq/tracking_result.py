"""A finished experiment in MLflow: its figures, and the files that explain them."""

from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param

from easq.registry_client import connect, experiment_id, reaching
from easq.source_code import packages, revision
from easq.tracking import COMMIT


def log_result(
    uri: str,
    experiment: str,
    name: str,
    settings: Mapping[str, str],
    figures: Mapping[str, float],
    folder: Path,
) -> str:
    """One run with all files of `folder`; returns its id. Raises MlflowError."""
    client = connect(uri)
    tags = {"mlflow.source.name": f"easq {name}"}
    if (code := revision()) is not None:
        tags |= {COMMIT: code.sha, "easq.git_dirty": str(code.dirty).lower()}
    with reaching(uri):
        run = client.create_run(experiment_id(client, experiment), tags=tags, run_name=name)
        params = [Param(key, value) for key, value in settings.items()]
        metrics = [Metric(key, value, run.info.start_time, 0) for key, value in figures.items()]
        client.log_batch(run.info.run_id, metrics=metrics, params=params)
        client.log_artifacts(run.info.run_id, str(folder))
        client.log_text(run.info.run_id, packages(), "environment.txt")
        client.set_terminated(run.info.run_id)
    return run.info.run_id
