"""The processes of the loop: how each is started, and with what it is told."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from easq.train.config import TrackingSection, TrainConfig, load_config
from easq.train.run_folder import run_folder
from jobs.local_ray import local_environment, slots
from jobs.supervisor import Part

JOINED = "join.json"
DRIVERS = ("train", "standby", "standby-2")
"""Of the service's own line: one trains, one waits for its end with workers, one without."""
DRAIN_SECONDS = 120.0
"""Training may take so long to end its window and write a checkpoint."""


class LoopSettings(BaseModel):
    """What `easq up` can be told; everything else stands in the configuration of the training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    replicas: int = Field(default=1, ge=1)
    feedback_seconds: float = Field(default=30.0, gt=0)
    """How long behaviour is waited for before its request is learnt."""
    window_seconds: float = Field(default=1.0, gt=0)
    serving: dict[str, str] = {}
    """More settings of the service, EASQ_<NAME>."""
    log_partitions: int = Field(default=1, ge=1)
    """Of a log that is not there yet."""
    standby: bool = False
    """Keep a second driver with workers of its own, which goes on where the training's is killed,
    and a third to take the second's place.
    Not for workers on GPUs, nor on a cluster of RAY_ADDRESS, which may have no room for it."""
    dashboard: bool = False
    """Ray's dashboard of the service, on loopback."""


def mlflow_part(tracking: TrackingSection, port: int) -> Part:
    """A server of MLflow before the database."""
    command = ["mlflow", "server", "--backend-store-uri", tracking.uri, "--workers", "1"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return Part("mlflow", [*command, "--host", "127.0.0.1", "--port", str(port)], quiet)


def join_part(folder: Path, settings: LoopSettings, log: str, lines: Sequence[TrainConfig]) -> Part:
    """The joiner, which keeps samples until all lines have learnt them."""
    options: dict[str, object] = {
        "feedback-seconds": settings.feedback_seconds,
        "window-seconds": settings.window_seconds,
        "status": folder / JOINED,
    }
    if (token_seconds := settings.serving.get("token_seconds")) is not None:
        options["token-seconds"] = token_seconds  # or it keeps requests for an hour
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words += [word for line in lines for word in ("--keep-for", str(run_folder(line)))]
    return Part("join", ["jobs.join", log, *words], {"OMP_NUM_THREADS": "1"})


def serving_part(
    folder: Path, settings: LoopSettings, tracking: TrackingSection, log: str, port: int
) -> Part:
    """Ray Serve with the replicas."""
    told: dict[str, Any] = {
        "tracking_uri": tracking.uri,
        "model_name": tracking.model_name,
        "cache_dir": folder / "versions",
        "token_key_file": folder / "token.key",
        "log": log,
        "log_partitions": settings.log_partitions,
        "feedback_seconds": settings.feedback_seconds,
        "replicas": settings.replicas,
        "port": port,
        "state_file": folder / "serving.json",
        "dashboard": str(settings.dashboard).lower(),
        **settings.serving,
    }
    return Part("serving", ["serving.up"], {f"EASQ_{n.upper()}": str(v) for n, v in told.items()})


def training_parts(configs: Mapping[str, Path], settings: LoopSettings, port: int) -> list[Part]:
    """A cluster that a training need not wait for when it starts again, and the trainings.

    Args:
        configs: by the part's name, first that of the service's own line, which may have standbys.
        port: of the cluster.
    """
    trains = [_train(name, config_file) for name, config_file in configs.items()]
    if os.environ.get("RAY_ADDRESS"):
        return trains
    trainings = [load_config(path).workers for path in configs.values()]
    if settings.standby and not trainings[0].use_gpu:
        equal = ["jobs.standby", str(next(iter(configs.values())))]
        own = [trains[0]._replace(name=name, module=equal) for name in DRIVERS]
        trains = own + trains[1:]
        trainings = [trainings[0], *trainings]
    local = local_environment() | {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "token")}
    ray = Part("ray", ["jobs.head", str(port), str(slots(*trainings))], local)
    address = {"RAY_ADDRESS": f"127.0.0.1:{port}"}
    return [ray, *(t._replace(environment=local | address, needs="ray") for t in trains)]


def gate_part(folder: Path, tracking: TrackingSection, log: str) -> Part:
    """The judge of candidates."""
    options = {
        "log": log,
        "tracking": tracking.uri,
        "model": tracking.model_name,
        "cache": folder / "versions",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return Part("gate", ["jobs.gate", *words], {"OMP_NUM_THREADS": "1"})


def _train(name: str, config_file: Path) -> Part:
    """It finishes where it is drained."""
    return Part(name, ["jobs.train", str(config_file)], {}, DRAIN_SECONDS, may_finish=True)
