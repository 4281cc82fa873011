"""A training with MLflow beside it: its metrics, its versions, and at the end its pictures."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

from easq.history import History
from easq.publisher import Publisher
from easq.tracking import start_run
from easq.tracking_follow import RunFollower
from easq.tracking_thread import Tracker
from easq.train.config import TrackingSection, TrainConfig
from easq.train.run_folder import run_folder, waiting_versions

log = logging.getLogger(__name__)

FINISHED = "mlflow-has-all"
"""Mark in a run's folder: its MLflow run has ended and has its pictures."""
Status = Literal["FINISHED", "FAILED", "KILLED"]


@contextmanager
def tracked(config: TrainConfig) -> Iterator[None]:
    """Carry what the run's folder gains to MLflow; nothing for a run without tracking.

    Raises:
        MlflowAwayError: MLflow does not answer at the first start. Later training goes on.
    """
    if (tracking := config.tracking) is None:
        yield
        return
    history, folder = History.open(config.data.history), run_folder(config)
    run_id = start_run(tracking.uri, tracking.experiment, config.run.name, config, history, folder)
    status: Status = "KILLED"
    with ExitStack() as closing:
        closing.callback(
            _apart,
            f"the MLflow run {run_id} has no end and no pictures",
            lambda: _finish(config, tracking, history, run_id, status),
        )
        publisher = Publisher(config, tracking, history, folder, run_id)
        closing.callback(_apart, "the newest version is not registered", publisher.close)
        follower = RunFollower(folder, Tracker(tracking.uri, run_id))
        closing.callback(_apart, "MLflow lacks metrics", follower.close)
        try:
            yield
            status = "FINISHED"
        except Exception:
            status = "FAILED"
            raise


def owes_mlflow(config: TrainConfig) -> bool:
    """Whether a complete run has something that MLflow did not take when the run ended."""
    folder = run_folder(config)
    waiting = bool(waiting_versions(folder))
    return config.tracking is not None and (waiting or not (folder / FINISHED).is_file())


def _finish(
    config: TrainConfig, tracking: TrackingSection, history: History, run_id: str, status: Status
) -> None:
    from easq.tracking_end import finish_run  # matplotlib takes time that a restart does not have

    finish_run(tracking.uri, run_id, config, history, status)
    if status == "FINISHED":
        (run_folder(config) / FINISHED).touch()


def _apart(missing: str, closing: Callable[[], None]) -> None:
    """Close one part; whatever it meets, the other parts and a training's success stand."""
    try:
        closing()
    except Exception as error:  # noqa: BLE001
        log.warning("%s: %s", missing, error)
