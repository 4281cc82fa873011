"""Train on a history of samples, window by window, on Ray.

Usage: easq train CONFIG [--set key=value ...]
"""

import os
import signal
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from ray.exceptions import ActorDiedError
from ray.train import TrainingFailedError
from rich.console import Console

from easq.registry_client import MlflowError
from easq.train.config import TrainConfig, load_config
from easq.train.failures import reason
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import run_folder
from easq.train.trainer import complete, fit, signals_kept
from jobs.cluster import ray_cluster
from jobs.freshness_watch import FreshnessWatch, training_of
from jobs.local_ray import slots
from jobs.problems import sentence
from jobs.progress import TrainingProgress
from jobs.tracked import owes_mlflow, tracked

STOPPED = 130


def train(
    config: Annotated[Path, typer.Argument(help="A TOML file; see infra/config.")],
    changes: Annotated[
        list[str],
        typer.Option("--set", help="Replace a setting: --set optim.batch=512. Repeatable."),
    ] = [],  # noqa: B006
    dashboard: Annotated[bool, typer.Option(help="Ray's dashboard, on this machine.")] = False,
) -> None:
    """Score each window, then learn from it. The same run.name goes on where it stopped.

    With a [stream] it goes on with the log's windows until it is drained.
    """
    with problems_told():
        resolved = load_config(config, dict(_change(change) for change in changes))
        train_run(resolved, console(), dashboard)


@contextmanager
def problems_told() -> Iterator[None]:
    """What stops a training, as a sentence and an exit code."""
    problems = console(stderr=True)
    try:
        yield
    except (ValueError, OSError) as error:
        problems.print(sentence(error))
        raise typer.Exit(2) from error
    except (TrainingFailedError, MlflowError, ActorDiedError) as error:
        problems.print(f"training failed: {reason(error)}")
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, SystemExit) as stop:
        problems.print("stopped; the same command goes on from the last checkpoint")
        raise typer.Exit(STOPPED) from stop


def train_run(
    config: TrainConfig,
    console: Console,
    dashboard: bool = False,
    turn: Callable[[], bool] | None = None,
) -> None:
    """Train a run to its end, with progress on the console, and with MLflow if it is tracked.

    Args:
        turn: of a run that another driver trains (`fit`).
    """
    folder, name = run_folder(config), config.run.name
    if (latest := complete(config)) is not None:
        console.print(f"run {name} was complete already: checkpoint {folder / latest.checkpoint}")
        if owes_mlflow(config):
            console.print("MLflow gets what it did not take when the run ended")
            with tracked(config):
                pass
        return
    with (
        signals_kept(),
        ray_cluster(cpus=slots(config.workers), dashboard=dashboard),
        ExitStack() as beside,
    ):
        # After Ray has put its own handlers in place. Once it trains, the first signal drains.
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))

        def say(sentence: str) -> None:
            console.print(f"{time.strftime('%H:%M:%S')}  {sentence}")

        def begin() -> None:
            console.print(f"run {name} in {folder}")
            if (dropped := dropped_budget(config)) is not None:
                console.print(dropped)
            beside.enter_context(tracked(config))
            beside.enter_context(TrainingProgress(folder, console))
            if config.stream is not None:
                takers = [training_of(config)]
                beside.enter_context(FreshnessWatch(config.stream.log, takers, say))

        with ended_with_controller(config, console):
            latest = fit(config, begin, turn)
        if config.stream is None and complete(config) is None:
            raise KeyboardInterrupt  # a history that was drained is not at its end
    state = "complete" if config.stream is None else "drained, and the same command goes on"
    console.print(
        f"run {name} is {state}: {latest.window} windows, {latest.step} steps, "
        f"checkpoint {folder / latest.checkpoint}"
    )


@contextmanager
def ended_with_controller(config: TrainConfig, console: Console) -> Iterator[None]:
    """End this process at once, with status 1, when Ray Train's controller of a log has died.

    Another driver may wait for its turn, and what MLflow lacks is carried on by the next: neither
    is worth the ten seconds that the pictures of an end take.
    """
    try:
        yield
    except ActorDiedError as error:
        if config.stream is None:
            raise
        console.print(f"Ray Train's controller has died, and with it this process: {reason(error)}")
        os._exit(1)


def dropped_budget(config: TrainConfig) -> str | None:
    """A sentence where the run has kept a budget until its newest checkpoint, and has none now."""
    checkpoint = newest_checkpoint(run_folder(config))
    if config.budget is not None or checkpoint is None:
        return None
    if (kept := read_position(checkpoint).budget) is None:
        return None
    return (
        f"run {config.run.name} has no [budget] any more: gamma goes from {kept.gamma:.3g}, where "
        f"the budget had it, to loss.offset = {config.loss.offset:g}"
    )


def console(stderr: bool = False) -> Console:
    return Console(stderr=stderr, soft_wrap=True, markup=False, highlight=False)


def _change(text: str) -> tuple[str, Any]:
    """optim.batch=512 -> ("optim.batch", 512); what is not TOML is text."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected key=value, such as optim.batch=512")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


if __name__ == "__main__":
    typer.run(train)
