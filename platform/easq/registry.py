"""Versions in MLflow's model registry: publish one, ask for the champion, fetch its files.

A registered version is a LoggedModel whose artefacts are a pyfunc model and, inside it, the
version directory of easq/artefact.py. Its digest is a tag, so that publishing the same
directory again, after a crash too, finds the version instead of making another.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from easq.artefact import check_manifest, digest_of
from easq.registry_client import connect, experiment_id, reaching
from easq.registry_pyfunc import FILES_OF_VERSION, save_pyfunc
from easq.version_cache import ARRIVING, check_version, locked, take

CHAMPION, CANDIDATE, ANCHOR = "champion", "candidate", "anchor"
"""What is served; what the gate is to judge; what a chain of champions is measured against."""
DIGEST = "easq.digest"
NO_CHAMPION = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""No such model; no such alias."""


class Version(NamedTuple):
    """A version of the registry; serving names it by number, its files by digest."""

    name: str
    version: int
    digest: str
    run_id: str
    uri: str
    """Where its files lie, as MLflow downloads them."""


def publish(
    uri: str,
    model_name: str,
    directory: Path,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
    alias: str = CHAMPION,
) -> Version:
    """Register a version directory under an alias; the same directory, once.

    Args:
        run_id: the run that learnt it; None makes a run for it.
        tags: facts to find versions by, such as the stream position.
        alias: CHAMPION, which is served at once, or CANDIDATE, where a gate decides.

    Raises:
        ValueError: the directory is damaged or half-written.
        MlflowAwayError: nothing is lost by publishing again later.
    """
    check_manifest(directory)
    client = connect(uri)
    with reaching(uri):
        _ensure_model(client, model_name)
        found = _registered(client, model_name, digest_of(directory))
        version = found or _register(client, model_name, directory, run_id, tags or {})
        client.set_registered_model_alias(model_name, alias, str(version.version))
    return version


def champion(uri: str, model_name: str) -> Version | None:
    """The version to serve; None while nothing was published. A few milliseconds."""
    return aliased(uri, model_name, CHAMPION)


def aliased(uri: str, model_name: str, alias: str) -> Version | None:
    """The version under an alias; None while there is none.

    Raises:
        ValueError: the alias is on a version that `publish` did not make.
        MlflowAwayError: the registry does not answer.
    """
    client = connect(uri)
    with reaching(uri):
        try:
            return as_version(client, client.get_model_version_by_alias(model_name, alias))
        except MlflowException as error:
            if error.error_code not in NO_CHAMPION:
                raise
            return None


def fetch(uri: str, version: Version, cache: Path) -> Path:
    """The files of a version on this machine, for `artefact.load_ranker`.

    They appear under their digest, complete and checked, or not at all; what was damaged there
    since is fetched again.

    Raises:
        ValueError: what came is not what was published.
        MlflowAwayError: the registry or its store does not answer.
    """
    with locked(cache):
        if not take(cache, version.digest):
            _download(uri, version, cache)
    return cache / version.digest


def _download(uri: str, version: Version, cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix=ARRIVING) as arriving:
        with reaching(uri):
            files = download_artifacts(
                artifact_uri=f"{version.uri}/{FILES_OF_VERSION}",
                dst_path=arriving,
                tracking_uri=uri,
            )
        try:
            check_version(Path(files), version.digest)
        except ValueError as error:
            raise ValueError(
                f"the files of {version.name} version {version.version} in the registry are not "
                f"what was published: {error}; publish it again"
            ) from error
        Path(files).rename(cache / version.digest)


def _ensure_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _registered(client: MlflowClient, name: str, digest: str) -> Version | None:
    found = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{digest}'")
    return as_version(client, found[-1]) if found else None


def _register(
    client: MlflowClient, name: str, directory: Path, run_id: str | None, tags: Mapping[str, str]
) -> Version:
    run_id = run_id or _own_run(client, name)
    digest = digest_of(directory)
    model = client.create_logged_model(
        client.get_run(run_id).info.experiment_id,
        name=f"{name}-{digest}",
        source_run_id=run_id,
        tags={**tags, DIGEST: digest},
        model_type="easq-ranker",
    )
    with tempfile.TemporaryDirectory() as folder:
        save_pyfunc(Path(folder) / "model", directory)
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    # Neither models:/<id> as source nor a missing run_id: either makes MLflow look the model up
    # at its process-wide default URI instead of this client's.
    created = client.create_model_version(
        name,
        model.artifact_location,
        run_id,
        tags={**tags, DIGEST: digest},
        model_id=model.model_id,
    )
    return as_version(client, created)


def _own_run(client: MlflowClient, name: str) -> str:
    run = client.create_run(experiment_id(client, name), run_name="published")
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def as_version(client: MlflowClient, found: ModelVersion) -> Version:
    """Raises ValueError for a version that `publish` did not make."""
    if (digest := found.tags.get(DIGEST)) is None:
        raise ValueError(
            f"{found.name} version {found.version} has no tag {DIGEST}, so it was not published "
            f"here: set the alias {CHAMPION} on a version with that tag, or publish again"
        )
    uri = client.get_model_version_download_uri(found.name, str(found.version))
    return Version(found.name, int(found.version), digest, found.run_id or "", uri)
