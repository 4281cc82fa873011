"""Settings of the ranking service: EASQ_<NAME> in the environment, or arguments of `serve run`."""

import ipaddress
import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from easq.feedback_token import MAX_ITEMS
from easq.join import JoinConfig

PREFIX = "EASQ_"
ALSO_OURS = {"EASQ_HAPROXY"}
"""Set by serving/front_door.py."""
SECRETS = {"api_key", "token_key"}
"""Settings that no message repeats."""
STATE = Path(".easq")
"""What processes of this folder share; resolved where the settings are read."""


class ServingSettings(BaseSettings):
    """Where versions come from, what a request may hold, and who may ask."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    tracking_uri: str = Field(default_factory=lambda: f"sqlite:///{STATE.resolve() / 'mlflow.db'}")
    """MLflow's registry; a database by its absolute path."""
    model_name: str = "easq-ranker"
    """Registered model whose champion is served."""
    log: str | None = None
    """Address of the log for impressions, feedback, deltas and rollouts; none: the champion alone
    is served, and no feedback is taken."""
    experiment: Path | None = None
    """A TOML file with the arms of an experiment (infra/serve/experiment.toml); none: all users
    are served `model_name`."""
    rollout_seconds: float = Field(default=0.2, gt=0)
    """How often a replica looks for a rollout or a rollback."""
    vitals_seconds: float = Field(default=1.0, gt=0)
    """How often a replica tells the gate of failures and latency while a version bakes."""
    poll_seconds: float = Field(default=2.0, gt=0)
    """How often a replica asks the registry for the champion."""
    cache_dir: Path = Field(default_factory=lambda: STATE.resolve() / "versions")
    """Where fetched versions are kept, shared by the replicas of a machine."""
    max_candidates: int = Field(default=1000, ge=1, le=MAX_ITEMS)
    """More candidates in a request are refused; a token has room for 65,535."""
    max_body_bytes: int = Field(default=8 * 2**20, ge=1024)
    replicas: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1)
    """Compute threads of a replica's forward pass."""
    queue_seconds: float = Field(default=0.5, gt=0)
    """A ranking that would wait longer behind others is refused."""
    host: str = "127.0.0.1"
    """Where `python -m serving.up` listens."""
    port: int = Field(default=0, ge=0, le=65535)
    """0: a free one."""
    state_file: Path | None = None
    """Where `python -m serving.up` writes its addresses once it serves."""
    dashboard: bool = False
    """Start Ray's dashboard too, on loopback and a free port."""
    api_key: SecretStr | None = None
    """Asked for in the header x-api-key of /v1/*."""

    log_partitions: int = Field(default=1, ge=1)
    """Of a log that is not there yet."""
    log_patience_seconds: float = Field(default=1.0, gt=0)
    """So long a ranking waits for its impression; then it goes out without a token."""
    token_key: SecretStr | None = Field(default=None, min_length=16)
    """Signs the tokens of rankings; the same for all replicas."""
    token_key_file: Path = Field(default_factory=lambda: STATE.resolve() / "token.key")
    """Where replicas of one machine share a random key, if none is given."""
    token_seconds: float = Field(default=3600.0, gt=0)
    """How long feedback about a ranking is taken."""
    feedback_seconds: float = Field(default=JoinConfig().feedback_seconds, gt=0)
    """How long the joiner waits for behaviour of a ranking; what comes later is refused."""
    ask_share: float = Field(default=0.005, ge=0, le=1)
    """Share of returned items that may be asked about."""
    ask_per_day: int = Field(default=3, ge=0)
    """Offers of the questionnaire to one user a day, by one replica."""
    ask_cooldown_seconds: float = Field(default=600.0, ge=0)
    """Between two offers to one user, by one replica."""
    events_per_minute: int = Field(default=600, ge=1)
    """Events of one user that one replica takes."""
    rejections_per_minute: int = Field(default=6000, ge=0)
    """Rejected events that one replica keeps; more are only counted, or strangers fill the disk."""
    viewing_speed: float = Field(default=1.0, gt=0)
    """Seconds that can be watched in a second; simulations that outrun life raise it."""

    @field_validator("api_key")
    @classmethod
    def _check_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not key.get_secret_value():
            raise ValueError(
                "expected a key of at least one character, or no such setting at all "
                "to listen on loopback without a key"
            )
        return key

    @model_validator(mode="after")
    def _check_host(self) -> "ServingSettings":
        self.check_exposure(self.host)
        return self

    def check_exposure(self, host: str | None) -> None:
        """Strangers need a key. Raises ValueError when they could reach the service without one."""
        if self.api_key is None and not _is_loopback(host):
            raise ValueError(
                f"without an API key the service listens on loopback only, and host is {host!r}: "
                "set EASQ_API_KEY, or the host to 127.0.0.1 (EASQ_HOST for serving.up, "
                "http_options of infra/serve/easq.yaml for serve run and serve deploy)"
            )


def from_environment() -> ServingSettings:
    """Raises ValueError with a sentence for each EASQ_<NAME> that is unknown or has a bad value."""
    ours = {name.upper() for name in os.environ if name.upper().startswith(PREFIX)}
    known = {f"{PREFIX}{field.upper()}" for field in ServingSettings.model_fields}
    if unknown := sorted(ours - known - ALSO_OURS):
        raise ValueError(
            f"{', '.join(unknown)}: expected one of {', '.join(sorted(known))}; "
            "correct the name, or unset it"
        )
    try:
        return ServingSettings()
    except ValidationError as error:
        raise ValueError("\n".join(map(_sentence, error.errors()))) from None


def _sentence(problem: ErrorDetails) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = problem["loc"][0]
    came = "" if name in SECRETS else f"; got {problem['input']!r}"
    return f"{PREFIX}{name}: ".upper() + message + came


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
