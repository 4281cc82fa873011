"""The end of a training run in MLflow: its pictures and its model card.

Apart from its beginning: a training that starts again is waited for, and matplotlib takes time.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mlflow import MlflowClient

from easq.history import History
from easq.model_card import model_card
from easq.plots import Curve, draw
from easq.registry_client import connect, reaching
from easq.tracking import COMMIT, LAST_SCORES
from easq.train.config import TrainConfig


def finish_run(
    uri: str,
    run_id: str,
    config: TrainConfig,
    history: History,
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED",
) -> None:
    """End the run with its pictures and model card, from what MLflow has of its metrics.

    Raises:
        MlflowAwayError: MLflow does not answer; metrics already logged stay.
    """
    client = connect(uri)
    with reaching(uri), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        curves = read_curves(client, run_id)
        (folder / "plots").mkdir()
        for file, figure in draw(curves, _read_scores(client, run_id)).items():
            figure.savefig(folder / "plots" / file)
        card = model_card(config, history.description, curves, _code_of(client, run_id))
        (folder / "model_card.md").write_text(card)
        client.log_artifacts(run_id, str(folder))
        client.set_terminated(run_id, status)


def read_curves(client: MlflowClient, run_id: str) -> dict[str, Curve]:
    """All metrics of a run over windows; of a window that was done again, the later value."""
    curves = {}
    for name in client.get_run(run_id).data.metrics:
        points = sorted(client.get_metric_history(run_id, name), key=lambda m: m.timestamp)
        by_window = dict(sorted({m.step: m.value for m in points}.items()))
        curves[name] = Curve(np.array(list(by_window)), np.array(list(by_window.values())))
    return curves


def _read_scores(client: MlflowClient, run_id: str) -> dict[str, Any] | None:
    parent, _, _ = LAST_SCORES.rpartition("/")
    if LAST_SCORES not in [file.path for file in client.list_artifacts(run_id, parent)]:
        return None
    with tempfile.TemporaryDirectory() as folder:
        return json.loads(Path(client.download_artifacts(run_id, LAST_SCORES, folder)).read_text())


def _code_of(client: MlflowClient, run_id: str) -> str:
    tags = client.get_run(run_id).data.tags
    if COMMIT not in tags:
        return "installed, without git"
    changed = " with uncommitted changes" if tags["easq.git_dirty"] == "true" else ""
    return f"git {tags[COMMIT][:12]}{changed}"
