"""A finished study in MLflow: its settings, its numbers, its page."""

from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Param

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
        run_id = run.info.run_id
        client.log_batch(run_id, params=[Param(key, value) for key, value in facts.items()])
        for key, value in metrics.items():
            client.log_metric(run_id, key, value)
        client.log_text(run_id, packages(), "environment.txt")
        client.log_artifacts(run_id, str(folder))
        client.set_terminated(run_id)
    return run_id
