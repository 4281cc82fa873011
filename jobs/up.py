"""The whole loop on this machine: MLflow, joiner, serving and training, kept running.

Usage: easq up [CONFIG] [--replicas 2]
"""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from easq.registry import champion
from easq.train.config import TrainConfig, load_config
from easq.train.durable import replace_file
from jobs.services import free_port
from jobs.supervisor import Part, Supervisor

LOOK_SECONDS = 0.2
STATE = "up.json"


def up(
    config: Annotated[
        Path, typer.Argument(help="A TOML file with [stream] and [tracking]; see infra/config.")
    ] = Path("infra/config/loop.toml"),
    folder: Annotated[
        Path, typer.Option(help="Where the state file and the parts' output go.")
    ] = Path(".easq/up"),
    replicas: Annotated[int, typer.Option(min=1, help="Replicas of the ranking model.")] = 1,
    ask_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of views that may be asked about.")
    ] = 0.005,
    feedback_seconds: Annotated[
        float, typer.Option(min=0.1, help="How long behaviour is waited for before it is learnt.")
    ] = 30.0,
) -> None:
    """Start and supervise everything; what dies is started again. Ctrl-C drains and stops."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    resolved = load_config(config)
    place = folder.resolve()
    place.mkdir(parents=True, exist_ok=True)
    loop = Loop(resolved, config.resolve(), place, replicas, ask_share, feedback_seconds)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    loop.run(console, stopping)


class Loop:
    """The parts, their addresses, and the file that says where they are."""

    def __init__(
        self,
        config: TrainConfig,
        config_file: Path,
        folder: Path,
        replicas: int,
        ask_share: float,
        feedback_seconds: float,
    ) -> None:
        if config.stream is None or config.tracking is None:
            raise ValueError(
                f"{config_file} has no [stream] or no [tracking] section, and the loop needs both: "
                "infra/config/loop.toml shows them"
            )
        self.config, self.folder = config, folder
        self.log, self.tracking = config.stream.log, config.tracking
        self.mlflow_port, self.port = free_port(), free_port()
        self.supervisor = Supervisor(
            [
                Part("mlflow", *self._mlflow()),
                Part("join", *self._join(feedback_seconds)),
                Part("serving", *self._serving(replicas, ask_share)),
                Part("train", ["jobs.train", str(config_file)], {}, patience_seconds=120.0),
                Part("gate", *self._gate()),
            ],
            folder,
        )

    def run(self, console: Console, stopping: threading.Event) -> None:
        """Until told to stop; then training drains first and serving goes last."""
        champion(self.tracking.uri, self.tracking.model_name)  # makes the database, once
        self.supervisor.start()
        self._write_state()
        console.print(f"ranking API  {self.url}/docs")
        console.print(f"MLflow       {self.mlflow_url}/#/experiments")
        console.print(f"state        easq status {self.folder}")
        try:
            while not stopping.wait(LOOK_SECONDS):
                if told := self.supervisor.look():
                    self._write_state()
                for sentence in told:
                    console.print(f"{time.strftime('%H:%M:%S')}  {sentence}")
        finally:
            console.print("draining and stopping")
            self.supervisor.stop()
            (self.folder / STATE).unlink(missing_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    def _write_state(self) -> None:
        state = {
            "url": self.url,
            "mlflow": self.mlflow_url,
            "log": self.log,
            "tracking": self.tracking.uri,
            "model_name": self.tracking.model_name,
            "run": str(self.config.run.storage / self.config.run.name),
            "join_status": str(self.folder / "join.json"),
            "parts": self.supervisor.report(),
        }
        replace_file(self.folder / STATE, json.dumps(state, indent=2))

    def _mlflow(self) -> tuple[list[str], dict[str, str]]:
        command = ["mlflow", "server", "--backend-store-uri", self.tracking.uri, "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.mlflow_port)]
        return command, {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }

    def _join(self, feedback_seconds: float) -> tuple[list[str], dict[str, str]]:
        options = ["--feedback-seconds", str(feedback_seconds)]
        options += ["--status", str(self.folder / "join.json")]
        return ["jobs.join", self.log, *options], {"OMP_NUM_THREADS": "1"}

    def _serving(self, replicas: int, ask_share: float) -> tuple[list[str], dict[str, str]]:
        settings: dict[str, Any] = {
            "tracking_uri": self.tracking.uri,
            "model_name": self.tracking.model_name,
            "cache_dir": self.folder / "versions",
            "log": self.log,
            "ask_share": ask_share,
            "replicas": replicas,
            "port": self.port,
        }
        return ["serving.up"], {f"EASQ_{name.upper()}": str(v) for name, v in settings.items()}

    def _gate(self) -> tuple[list[str], dict[str, str]]:
        options = ["--log", self.log, "--tracking", self.tracking.uri]
        return ["jobs.gate", *options, "--model", self.tracking.model_name], {}
