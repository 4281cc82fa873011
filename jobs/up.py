"""The whole loop on this machine: MLflow, joiner, serving and training, kept running.

Usage: easq up [CONFIG] [--replicas 2] [--serving ask_share=0.01]
"""

import signal
import threading
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from easq.train.config import load_config
from jobs.loop import Loop
from jobs.loop_parts import LoopSettings
from jobs.sole_loop import sole_loop

LOOK_SECONDS = 0.2
DEFAULTS = LoopSettings()


def up(
    config: Annotated[
        Path, typer.Argument(help="A TOML file with [stream] and [tracking]; see infra/config.")
    ] = Path("infra/config/loop.toml"),
    folder: Annotated[
        Path, typer.Option(help="Where the state file and the parts' output go.")
    ] = Path(".easq/up"),
    replicas: Annotated[
        int, typer.Option(min=1, help="Replicas of the ranking model.")
    ] = DEFAULTS.replicas,
    feedback_seconds: Annotated[
        float, typer.Option(min=0.1, help="How long behaviour is waited for before it is learnt.")
    ] = DEFAULTS.feedback_seconds,
    window_seconds: Annotated[
        float, typer.Option(min=0.1, help="A window of samples is sealed so often.")
    ] = DEFAULTS.window_seconds,
    log_partitions: Annotated[
        int, typer.Option(min=1, help="Of a log that is not there yet.")
    ] = DEFAULTS.log_partitions,
    standby: Annotated[
        bool,
        typer.Option(help="Further trainings that wait, and go on where the first is killed."),
    ] = True,
    serving: Annotated[
        list[str],
        typer.Option(help="A setting of the service: --serving ask_share=0.01. Repeatable."),
    ] = [],  # noqa: B006
) -> None:
    """Start and supervise everything; what dies is started again. Ctrl-C drains and stops."""
    resolved, place = load_config(config), folder.resolve()
    place.mkdir(parents=True, exist_ok=True)
    settings = LoopSettings(
        replicas=replicas,
        feedback_seconds=feedback_seconds,
        window_seconds=window_seconds,
        log_partitions=log_partitions,
        standby=standby,
        serving=dict(_setting(text) for text in serving),
    )
    with sole_loop(resolved, place) as held:
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        keep_up(Loop(resolved, config.resolve(), place, settings, held=held), stopping)


def keep_up(loop: Loop, stopping: threading.Event) -> None:
    """Run the loop until told to stop."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    try:
        loop.start()
        console.print(f"ranking API  {loop.url}/docs (503 until there is a version)")
        console.print(f"MLflow       {loop.mlflow_url}/#/experiments")
        console.print(f"state        easq status {loop.folder}")
        while not stopping.wait(LOOK_SECONDS):
            for sentence in loop.look():
                console.print(f"{time.strftime('%H:%M:%S')}  {sentence}")
    finally:
        console.print("training drains, then everything stops")
        loop.stop()


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--serving {text}: expected name=value, such as ask_share=0.01")
    return name, value
