"""A training run in MLflow: begun with its whole configuration and lineage, ended with pictures.

The metrics in between come from easq/tracking_thread.py, off the training's path.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Param
from pydantic import BaseModel, ConfigDict

from easq.history import Description, History
from easq.registry_client import MlflowAwayError, MlflowError, connect, experiment_id, reaching
from easq.source_code import packages, revision
from easq.train.config import TrainConfig

log = logging.getLogger(__name__)

CONTEXT = "mlflow.data.context"
COMMIT = "mlflow.source.git.commit"
LAST_SCORES = "scores/last_window.json"
"""Where the histograms of the newest window lie (train/histogram.py)."""
PARAMS_A_CALL = 100
LONGEST_PARAM = 6000


class TrackedRun(BaseModel):
    """Contents of RUN/mlflow.json: which MLflow run this training is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str
    run_id: str


def start_run(
    uri: str,
    experiment: str,
    run_name: str,
    config: TrainConfig,
    history: History,
    run_dir: Path,
) -> str:
    """Begin the MLflow run of this training, or go on with it; returns its id.

    A training that goes on keeps its run even while MLflow is away.

    Raises:
        MlflowAwayError: MLflow does not answer at the first start.
        ValueError: the run of an earlier start was deleted.
    """
    path = run_dir / "mlflow.json"
    if path.is_file():
        known = TrackedRun.model_validate_json(path.read_text())
        if known.uri == uri:
            return _go_on(known, path)
    client = connect(uri)
    with reaching(uri):
        experiment_of_run = experiment_id(client, experiment)
        run = client.create_run(experiment_of_run, tags=_tags(config, history), run_name=run_name)
        run_id = run.info.run_id
        _log_origin(client, run_id, config, history.description)
    run_dir.mkdir(parents=True, exist_ok=True)
    arriving = path.with_suffix(".arriving")
    arriving.write_text(TrackedRun(uri=uri, run_id=run_id).model_dump_json())
    arriving.rename(path)
    return run_id


def _go_on(known: TrackedRun, path: Path) -> str:
    try:
        client = connect(known.uri)
        with reaching(known.uri):
            client.update_run(known.run_id, status="RUNNING")
    except MlflowAwayError as error:
        log.warning("going on; metrics and versions follow later: %s", error)
    except MlflowError as error:
        raise ValueError(f"{error}. Remove {path} to begin a new MLflow run.") from error
    return known.run_id


def _tags(config: TrainConfig, history: History) -> dict[str, str]:
    tags = {
        "mlflow.source.name": "easq train",
        "easq.method": config.model.method,
        "easq.history": history.description.name,
        "easq.history_digest": history.description.digest,
        "easq.schema_hash": history.description.features.schema_hash,
    }
    if (code := revision()) is not None:
        tags |= {COMMIT: code.sha, "easq.git_dirty": str(code.dirty).lower()}
    return tags


def _log_origin(client: MlflowClient, run_id: str, config: TrainConfig, data: Description) -> None:
    resolved = config.model_dump(mode="json")
    params = [Param(key, value[:LONGEST_PARAM]) for key, value in flat_params(resolved)]
    for start in range(0, len(params), PARAMS_A_CALL):
        client.log_batch(run_id, params=params[start : start + PARAMS_A_CALL])
    client.log_inputs(run_id, [DatasetInput(_dataset(data), [InputTag(CONTEXT, "training")])])
    client.log_dict(run_id, resolved, "config.json")
    client.log_dict(run_id, data.model_dump(mode="json"), "history.json")
    client.log_text(run_id, packages(), "environment.txt")


def flat_params(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names: {"optim": {"batch": 8}} -> ("optim.batch", "8")."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat_params(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)


def _dataset(data: Description) -> Dataset:
    sources = [source.model_dump() for source in data.sources]
    counts = data.model_dump(include={"requests", "candidates", "answers", "rejected"})
    days = {"first_day": data.days[0].day, "last_day": data.days[-1].day} if data.days else {}
    return Dataset(
        name=data.name,
        digest=data.digest,
        source_type="easq-history",
        source=json.dumps(sources),
        schema=data.features.model_dump_json(),
        profile=json.dumps(counts | days),
    )
