"""The processes of the loop on one machine, and the file that says where they are."""

import json
import time
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from easq.free_ports import free_ports
from easq.log.connect import open_log
from easq.registry import champion
from easq.train.config import TrainConfig, load_config
from easq.train.durable import replace_file
from easq.train.run_folder import run_folder
from jobs.freshness_watch import FreshnessWatch, joining_by, training_of
from jobs.loop_parts import (
    JOINED,
    LoopSettings,
    gate_part,
    join_part,
    mlflow_part,
    serving_part,
    training_parts,
)
from jobs.supervisor import Supervisor

STATE = "up.json"


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
        port, mlflow_port, ray_port = free_ports(3)
        self.url, self.mlflow_url = (f"http://127.0.0.1:{p}" for p in (port, mlflow_port))
        configs = {"train": config_file} | {f"train-{line.stem}": line for line in lines}
        self.lines = [load_config(path) for path in configs.values()]
        parts = [
            join_part(folder, settings, self.log, self.lines),
            serving_part(folder, settings, self.tracking, self.log, port),
            *training_parts(configs, settings, ray_port),
        ]
        if self.tracking.uri.startswith("http"):
            self.mlflow_url = self.tracking.uri
        else:
            parts = [mlflow_part(self.tracking, mlflow_port), *parts]
        parts += [gate_part(folder, self.tracking, self.log)] if self.tracking.gate else []
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


def _whereabouts(line: TrainConfig) -> tuple[str, dict[str, Any]]:
    """Of a model line: its name, where it learns and announces, and how new it is to be."""
    assert line.stream is not None
    name = line.run.name if line.tracking is None else line.tracking.model_name
    return name, {
        "run": str(run_folder(line)),
        "models": line.stream.models or line.stream.log,
        "fresh_seconds": line.stream.fresh_seconds,
    }


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
