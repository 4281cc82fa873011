"""A finished study or experiment in MLflow: its settings, its numbers, its page."""

from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param

from easq.registry_client import connect, experiment_id, reaching
from easq.source_code import packages, revision
from easq.tracking import COMMIT

EXPERIMENT = "easq-studies"


def log_study(
    uri: str,
    name: str,
    facts: Mapping[str, str],
    metrics: Mapping[str, float],
    folder: Path,
) -> str:
    """Log a study as one run with the folder's files; returns the run's id.

    Raises:
        MlflowAwayError: MLflow does not answer; the files stay where they are.
    """
    client = connect(uri)
    tags = {"mlflow.source.name": f"easq {name}"}
    if (code := revision()) is not None:
        tags |= {COMMIT: code.sha, "easq.git_dirty": str(code.dirty).lower()}
    with reaching(uri):
        run = client.create_run(experiment_id(client, EXPERIMENT), tags=tags, run_name=name)
        run_id, now_ms = run.info.run_id, run.info.start_time
        params = [Param(key, value) for key, value in facts.items()]
        numbers = [Metric(key, value, now_ms, 0) for key, value in metrics.items()]
        client.log_batch(run_id, metrics=numbers, params=params)
        client.log_text(run_id, packages(), "environment.txt")
        client.log_artifacts(run_id, str(folder))
        client.set_terminated(run_id)
    return run_id
