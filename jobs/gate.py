"""Judge new versions, roll them out in stages, and take versions back.

Usage: easq gate --log URI --tracking URI [--model NAME] [--config FILE] [--pin VERSION]
       easq rollback [--to VERSION] --log URI --tracking URI
"""

import logging
import signal
import threading
import time
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from easq.log.connect import open_log
from easq.log.interface import MODELS, Log, LogError
from easq.registry import ANCHOR, CHAMPION, Version, champion
from easq.registry_aliases import numbered, point
from easq.registry_client import MlflowAwayError, MlflowError
from easq.rollout import rolled_back
from easq.rollout_log import announce, held_from, newest_rollout
from easq.train.config import absolute_uri
from jobs.gatekeeper import Gatekeeper, GatekeeperConfig

POLL_SECONDS = 1.0
MODEL = "easq-ranker"
LogUri = Annotated[str, typer.Option("--log", help="sqlite:////absolute/log.db")]
TrackingUri = Annotated[str, typer.Option("--tracking", help="MLflow's server or database.")]
ModelName = Annotated[str, typer.Option("--model", help="Registered model.")]


def gate(
    log: LogUri,
    tracking: TrackingUri,
    model: ModelName = MODEL,
    cache: Annotated[Path, typer.Option(help="Fetched versions.")] = Path(".easq/versions"),
    config: Annotated[Path | None, typer.Option(help="TOML, tables gate and rollout.")] = None,
    pin: Annotated[
        int | None, typer.Option(help="Pin this version as the anchor, and end.")
    ] = None,
) -> None:
    """Judge each candidate against champion and anchor; what passes goes out in stages."""
    tracking = absolute_uri(tracking)
    if pin is not None:
        point(tracking, numbered(tracking, model, pin), ANCHOR)
        Console().print(f"version {pin} of {model} is the anchor")
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = read_config(config)
    keeper = Gatekeeper(open_log(log), tracking, model, cache.resolve(), settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    keep(keeper, stopping)


def keep(keeper: Gatekeeper, stopping: threading.Event) -> None:
    """Look until told to stop; what is away or damaged is waited for, and told once."""
    troubled = False
    while not stopping.wait(POLL_SECONDS):
        try:
            keeper.look()
            troubled = False
        except (MlflowError, LogError, ValueError) as error:
            if not troubled:
                logging.warning("no version is judged until this is over: %s", error)
            troubled = True


def read_config(path: Path | None) -> GatekeeperConfig:
    """Raises ValueError: the file cannot be read or has other settings."""
    if path is None:
        return GatekeeperConfig()
    try:
        return GatekeeperConfig.model_validate(tomllib.loads(path.read_text()))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ValueError(f"{path} is no configuration of the gate: {error}") from error


def rollback(
    log: LogUri,
    tracking: TrackingUri,
    model: ModelName = MODEL,
    to: Annotated[
        int | None, typer.Option(help="Version; else the one that was served before.")
    ] = None,
    reason: Annotated[str, typer.Option(help="For whoever asks later.")] = "by hand",
) -> None:
    """Serve an older version at once, as it was published, until a newly gated one."""
    console, topic, tracking = Console(), open_log(log), absolute_uri(tracking)
    try:
        live = champion(tracking, model)
        target = numbered(tracking, model, to or _served_before(topic, live))
    except MlflowAwayError as error:
        if to is None:
            raise ValueError(
                f"{error}; name the version with --to, which needs no MLflow"
            ) from error
        _announce(topic, None, to, reason)
        console.print(f"replicas go to version {to}; MLflow's alias is where it was: {error}")
        raise typer.Exit(1) from error
    _announce(topic, live, target.version, reason)
    point(tracking, target, CHAMPION)
    console.print(f"version {target.version} of {model} is champion; deltas wait for the next one")


def _announce(topic: Log, live: Version | None, to: int, reason: str) -> None:
    newest = newest_rollout(topic)
    served = live.version if live else to
    if newest is not None and (live is None or newest.ranks_below is not None):
        served = newest.version  # a rollout under way is what is taken back
    announce(topic, rolled_back(served, to, f"rollback: {reason}"), time.time_ns() // 1_000_000)


def _served_before(topic: Log, live: Version | None) -> int:
    """Of a lane that is stopped, what was there before the version that it is stopped at.

    Raises:
        ValueError: nobody has written down what was served before.
    """
    told = held_from(topic, topic.begin(MODELS, 0), topic.end(MODELS, 0))
    newest = [one.rollout for one in reversed(told)]
    if newest and not newest[0].follow_deltas:
        at = newest[0].version
        newest = [one for one in newest if one.follow_deltas and one.version == at]
    if not newest or newest[0].previous is None:
        served = live.version if live else "none"
        raise ValueError(
            f"what was served before version {served} is not known: name it with --to VERSION"
        )
    return newest[0].previous


if __name__ == "__main__":
    typer.run(gate)
