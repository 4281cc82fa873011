"""What two loops cannot share is held by one of them, and by its guard when it is killed."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from easq.log.connect import SQLITE
from easq.log.lease import lease
from easq.train.config import TrainConfig
from easq.train.run_folder import run_folder

ENDING_SECONDS = 300.0
"""A guard is patient with one part after another."""
POLL_SECONDS = 0.1
LOCK = ".lock"
"""Suffix of the files, which stay."""


@contextmanager
def sole_loop(config: TrainConfig, folder: Path) -> Iterator[list[int]]:
    """Hold folder, run and log; the loop's guard is to inherit the descriptors.

    Where the guard of a loop that was killed still ends its parts, they are waited for.

    Raises:
        ValueError: another one, of any folder, has some of it; or its parts do not end.
    """
    places = {
        folder / "loop": f"in {folder}: stop it, or choose another folder",
        run_folder(config): f"for run {config.run.name}: stop it, or choose another run.name",
    }
    if config.stream is not None and config.stream.log.startswith(SQLITE):
        log = Path(config.stream.log.removeprefix(SQLITE))
        places[log] = f"on {log}: stop it, or choose another log in [stream]"
    with ExitStack() as leases:
        for place, instead in places.items():
            try:
                leases.enter_context(lease(_beside(place, f"up{LOCK}")))
            except ValueError as error:
                raise ValueError(f"another loop runs {instead}") from error
        deadline = time.monotonic() + ENDING_SECONDS
        yield [_when_ended(leases, place, deadline) for place in places]


def _when_ended(leases: ExitStack, place: Path, deadline: float) -> int:
    """A lock that the guard of the loop before may still have; returns its descriptor."""
    told = False
    while True:
        try:
            return leases.enter_context(lease(_beside(place, f"parts{LOCK}")))
        except ValueError as error:
            if time.monotonic() > deadline:
                raise ValueError(
                    f"parts of a loop that was killed hold {place} after {ENDING_SECONDS:.0f} s: "
                    "end them and `python -m jobs.guard` by hand"
                ) from error
        if not told:
            typer.echo(
                f"a loop was killed, and its guard still ends the parts that hold {place}: waiting "
                f"for it, {ENDING_SECONDS:.0f} s at most"
            )
            told = True
        time.sleep(POLL_SECONDS)


def _beside(place: Path, suffix: str) -> Path:
    return place.with_name(f"{place.name}.{suffix}")
