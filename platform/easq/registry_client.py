"""How MLflow is spoken to: explicit URIs, short patience, no chatter on the user's terminal."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

# MLflow reads this while it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import SQLAlchemyError

SQLITE = "sqlite:///"
AWAY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
ANSWER_SECONDS = 3.0
"""A server or a database that is silent for so long is away."""
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class MlflowError(RuntimeError):
    """MLflow did not do what it was asked; the message has its reason."""


class MlflowAwayError(MlflowError):
    """MLflow cannot be reached now; the same call may succeed later."""


def connect(uri: str) -> MlflowClient:
    """A client of one server or database, never of one found in the environment.

    Raises:
        ValueError: a relative SQLite path, which would name another file in every process.
        MlflowAwayError: it is silent. Each call would find that out too, after 40 s.
    """
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_absolute():
        raise ValueError(f"MLflow's database must be an absolute path, sqlite:////…: {uri}")
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with reaching(uri):
        if not uri.startswith(SQLITE):
            _check_answering(uri)
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        with _opened(Path(uri.removeprefix(SQLITE))):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _check_answering(uri: str) -> None:
    """Any answer will do, also that there is no such page."""
    if uri.startswith(("http://", "https://")):
        creds = get_default_host_creds(uri)
        http_request(creds, "/health", "GET", max_retries=0, timeout=ANSWER_SECONDS)


@contextmanager
def _opened(database: Path) -> Iterator[None]:
    """One process at a time, because MLflow makes and migrates its tables without a lock.

    Fails soon where the file cannot be opened or read; MLflow would try for two minutes.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with closing(sqlite3.connect(database, timeout=ANSWER_SECONDS)) as file:
            file.execute("SELECT 1 FROM sqlite_master").fetchone()
        yield


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn MLflow's many ways to fail into the two errors above."""
    try:
        yield
    except MlflowException as error:
        if error.error_code in AWAY:
            raise MlflowAwayError(f"MLflow at {uri} does not answer: {error}") from error
        raise MlflowError(f"MLflow at {uri} refuses: {error}") from error
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise MlflowAwayError(f"MLflow at {uri} does not answer: {error}") from error


TRAINING_VIEW = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's pages open on runs and their metrics, not on traces of language models."""


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment of this name, made if need be.

    Artefacts of a database lie in a folder beside it; a server keeps its own.
    """
    if (found := client.get_experiment_by_name(name)) is not None:
        return found.experiment_id
    uri = client.tracking_uri
    beside = Path(uri.removeprefix(SQLITE)).parent / "artifacts" if uri.startswith(SQLITE) else None
    try:
        return client.create_experiment(name, beside and str(beside / name), tags=TRAINING_VIEW)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return experiment_id(client, name)
