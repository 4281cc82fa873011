"""Stop a training after the window in work, with a checkpoint of all that it has learnt.

Usage: easq drain CONFIG_OR_RUN_FOLDER
"""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from easq.train.config import load_config
from easq.train.drain import ask_to_drain, drain_asked, is_running
from easq.train.latest import read_latest
from easq.train.run_folder import RUN, run_folder

POLL_SECONDS = 0.1
TELL_SECONDS = 5.0


def drain(
    run: Annotated[Path, typer.Argument(help="The run's TOML file, or its folder.")],
) -> None:
    """Ask a run to stop with a checkpoint, and wait until it has."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    folder = run if run.is_dir() else run_folder(load_config(run))
    if not (folder / RUN).is_file():
        raise ValueError(f"{folder} holds no run; name a run's TOML file or its folder")
    if is_running(folder):
        ask_to_drain(folder)
        _wait(folder, console)
    latest = read_latest(folder)
    learnt = (
        f"{latest.window} windows are in {latest.checkpoint}" if latest else "nothing is learnt"
    )
    console.print(f"{folder} is not in training: {learnt}")


def _wait(folder: Path, console: Console) -> None:
    """Until nobody trains the run.

    Raises:
        ValueError: it was started anew meanwhile.
    """
    told = since = time.monotonic()
    while is_running(folder):
        if not drain_asked(folder):
            raise ValueError(f"{folder} was started anew meanwhile; drain it again")
        if time.monotonic() > told + TELL_SECONDS:
            told = time.monotonic()
            console.print(f"{folder} has been asked to stop {told - since:.0f} s ago")
        time.sleep(POLL_SECONDS)
