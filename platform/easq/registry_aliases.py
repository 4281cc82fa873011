"""Which registered version is champion, candidate and anchor, and what the gate said of each."""

from collections.abc import Mapping

from mlflow.exceptions import MlflowException

from easq.registry import Version, as_version
from easq.registry_client import connect, reaching

LONGEST_TAG = 5000


def numbered(uri: str, model_name: str, number: int) -> Version:
    """A version by its number.

    Raises:
        ValueError: there is none, or `publish` did not make it.
        MlflowAwayError: the registry does not answer.
    """
    client = connect(uri)
    with reaching(uri):
        try:
            return as_version(client, client.get_model_version(model_name, str(number)))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise ValueError(
                f"{model_name} has no version {number}: name one that the registry lists"
            ) from error


def point(uri: str, version: Version, alias: str) -> None:
    """Move an alias to a version."""
    client = connect(uri)
    with reaching(uri):
        client.set_registered_model_alias(version.name, alias, str(version.version))


def tag(uri: str, version: Version, tags: Mapping[str, str]) -> None:
    """Write facts on a version, beside those it has."""
    client = connect(uri)
    with reaching(uri):
        for key, value in tags.items():
            client.set_model_version_tag(
                version.name, str(version.version), key, value[:LONGEST_TAG]
            )


def newest_tags(uri: str, model_name: str, count: int) -> list[tuple[int, dict[str, str]]]:
    """Number and tags of the newest versions, newest first; none of a model that nobody knows."""
    client = connect(uri)
    with reaching(uri):
        found = client.search_model_versions(
            f"name = '{model_name}'", max_results=count, order_by=["version_number DESC"]
        )
        return [(int(version.version), dict(version.tags)) for version in found]


def tags_of(uri: str, version: Version) -> dict[str, str]:
    client = connect(uri)
    with reaching(uri):
        return dict(client.get_model_version(version.name, str(version.version)).tags)
