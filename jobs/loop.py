"""The processes of the loop on one machine, and the file that says where they are."""

import json
import os
import time
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from easq.log.connect import open_log
from easq.registry import champion
from easq.train.config import TrainConfig, load_config
from easq.train.durable import replace_file
from easq.train.run_folder import run_folder
from jobs.freshness_watch import FreshnessWatch, joining_by, training_of
from jobs.local_ray import local_environment, slots
from jobs.services import free_port
from jobs.supervisor import Part, Supervisor

STATE, JOINED = "up.json", "join.json"
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


class Loop:
    """MLflow, joiner, serving, Ray, a training on it, and perhaps a gate, as supervised parts.

    Training takes the cluster of RAY_ADDRESS instead where that is set.

    Where the configuration names a server of MLflow, that one is used and none is started.

    Raises:
        ValueError: the configuration names no log or no tracking.
    """

    def __init__(
        self,
        config: TrainConfig,
        config_file: Path,
        folder: Path,
        settings: LoopSettings,
        lines: Sequence[Path] = (),
        held: Sequence[int] = (),
    ) -> None:
        """
        Args:
            lines: configurations of further model lines, which are trained beside this one.
            held: descriptors of locks (jobs/sole_loop.py) that outlive a killed loop in its guard.
        """
        if config.stream is None or config.tracking is None:
            raise ValueError(
                f"{config_file} has no [stream] or no [tracking] section, and the loop needs both: "
                "infra/config/loop.toml shows them"
            )
        self.config, self.config_file = config, config_file
        self.folder, self.settings = folder, settings
        self.log, self.tracking = config.stream.log, config.tracking
        self.url, self.mlflow_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        configs = {"train": config_file} | {f"train-{line.stem}": line for line in lines}
        self.lines = [load_config(path) for path in configs.values()]
        parts = [self._join(), self._serving(), *self._training(configs)]
        if self.tracking.uri.startswith("http"):
            self.mlflow_url = self.tracking.uri
        else:
            parts = [self._mlflow(), *parts]
        parts += [self._gate()] if self.tracking.gate else []
        self.supervisor = Supervisor(parts, folder, held)
        self.told = SimpleQueue[str]()
        joining = joining_by(folder / JOINED, config.stream.fresh_seconds)
        takers = [joining, *map(training_of, self.lines)]
        self.watch = FreshnessWatch(self.log, takers, self.told.put)

    def start(self, *names: str) -> None:
        """Start the named parts; all, if none is named."""
        champion(self.tracking.uri, self.tracking.model_name)  # makes the database, once
        open_log(self.log, self.settings.log_partitions).close()  # as wide as all will find it
        self.supervisor.start(*names)
        if not names or "join" in names:
            self.watch.start()
        self.write_state()

    def look(self) -> list[str]:
        """Start again what has ended; what there is to tell."""
        told = self.supervisor.look()
        if told:
            self.write_state()
        while not self.told.empty():
            told.append(self.told.get())
        return told

    def stop(self) -> None:
        """Training drains first, MLflow goes last."""
        self.watch.stop()
        self.supervisor.stop()
        (self.folder / STATE).unlink(missing_ok=True)

    def write_state(self) -> None:
        state = {
            "url": self.url,
            "mlflow": self.mlflow_url,
            "log": self.log,
            "lines": dict(map(_whereabouts, self.lines)),
            "join_status": str(self.folder / JOINED),
            "parts": self.supervisor.report(),
        }
        replace_file(self.folder / STATE, json.dumps(state, indent=2))

    def _mlflow(self) -> Part:
        port = self.mlflow_url.rpartition(":")[2]
        command = ["mlflow", "server", "--backend-store-uri", self.tracking.uri, "--workers", "1"]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        return Part("mlflow", [*command, "--host", "127.0.0.1", "--port", port], quiet)

    def _join(self) -> Part:
        options: dict[str, object] = {
            "feedback-seconds": self.settings.feedback_seconds,
            "window-seconds": self.settings.window_seconds,
            "status": self.folder / JOINED,
        }
        if (token_seconds := self.settings.serving.get("token_seconds")) is not None:
            options["token-seconds"] = token_seconds  # or it keeps requests for an hour
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        words += [word for line in self.lines for word in ("--keep-for", str(run_folder(line)))]
        return Part("join", ["jobs.join", self.log, *words], {"OMP_NUM_THREADS": "1"})

    def _serving(self) -> Part:
        settings: dict[str, Any] = {
            "tracking_uri": self.tracking.uri,
            "model_name": self.tracking.model_name,
            "cache_dir": self.folder / "versions",
            "token_key_file": self.folder / "token.key",
            "log": self.log,
            "log_partitions": self.settings.log_partitions,
            "feedback_seconds": self.settings.feedback_seconds,
            "replicas": self.settings.replicas,
            "port": self.url.rpartition(":")[2],
            "state_file": self.folder / "serving.json",
            "dashboard": str(self.settings.dashboard).lower(),
            **self.settings.serving,
        }
        return Part(
            "serving", ["serving.up"], {f"EASQ_{n.upper()}": str(v) for n, v in settings.items()}
        )

    def _training(self, configs: Mapping[str, Path]) -> list[Part]:
        """A cluster that a training need not wait for when it starts again, and the trainings."""
        trains = [_train(name, config_file) for name, config_file in configs.items()]
        if os.environ.get("RAY_ADDRESS"):
            return trains
        trainings = [load_config(path).workers for path in configs.values()]
        if self.settings.standby and not self.config.workers.use_gpu:
            equal = ["jobs.standby", str(self.config_file)]
            own = [trains[0]._replace(name=name, module=equal) for name in DRIVERS]
            trains = own + trains[1:]
            trainings = [self.config.workers, *trainings]
        port, mode = str(free_port()), os.environ.get("RAY_AUTH_MODE", "token")
        local = local_environment() | {"RAY_AUTH_MODE": mode}
        ray = Part("ray", ["jobs.head", port, str(slots(*trainings))], local)
        address = {"RAY_ADDRESS": f"127.0.0.1:{port}"}
        return [ray, *(t._replace(environment=local | address, needs="ray") for t in trains)]

    def _gate(self) -> Part:
        options = {
            "log": self.log,
            "tracking": self.tracking.uri,
            "model": self.tracking.model_name,
            "cache": self.folder / "versions",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return Part("gate", ["jobs.gate", *words], {"OMP_NUM_THREADS": "1"})


def _whereabouts(line: TrainConfig) -> tuple[str, dict[str, Any]]:
    """Of a model line: its name, where it learns and announces, and how new it is to be."""
    assert line.stream is not None
    name = line.run.name if line.tracking is None else line.tracking.model_name
    return name, {
        "run": str(run_folder(line)),
        "models": line.stream.models or line.stream.log,
        "fresh_seconds": line.stream.fresh_seconds,
    }


def _train(name: str, config_file: Path) -> Part:
    """It finishes where it is drained."""
    return Part(name, ["jobs.train", str(config_file)], {}, DRAIN_SECONDS, may_finish=True)


def wait_until_ready(loop: Loop, seconds: float = 180.0) -> None:
    """Until the service has a version to rank with. Raises RuntimeError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not is_ready(loop.url):
        loop.look()
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"the service was not ready after {seconds:.0f} s; see {loop.folder}"
            )
        time.sleep(0.2)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:
            return response.status == HTTPStatus.OK
    except (OSError, HTTPException):  # refused, timed out, a status that says no, another's port
        return False
