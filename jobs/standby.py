"""One of two equal drivers of a run: one trains, and where it is killed the other goes on.

Usage: python -m jobs.standby CONFIG
"""

import time
from collections.abc import Callable
from pathlib import Path

import typer

from easq.train.config import load_config
from easq.train.drain import drain_asked, forget_drain
from easq.train.run_folder import WINDOWS, run_folder
from easq.train.turn import Turn, turn_of

STEADY_SECONDS = 30.0
"""A training that has just begun has more urgent work for the cores than a standby has."""
LOOK_SECONDS = 0.2


def main(config: Path) -> None:
    resolved = load_config(config)

    def train(turn: Callable[[], bool] | None) -> None:
        from jobs.train import console, problems_told, train_run

        with problems_told():
            train_run(resolved, console(), turn=turn)

    in_turn(run_folder(resolved), train, STEADY_SECONDS)


def in_turn(
    folder: Path, train: Callable[[Callable[[], bool] | None], None], steady_seconds: float
) -> None:
    """Train, at once or when another has died that does; not where the run was drained meanwhile.

    Args:
        train: gets what waits for its turn and says whether to go on, once windows have been
            learnt for `steady_seconds`; None: it is its turn.
    """
    with turn_of(folder) as turn:
        if turn.take():
            forget_drain(folder)
            train(None)
        elif not _comes_early(turn, folder, steady_seconds):
            train(lambda: turn.take(wait=True) and not drain_asked(folder))
        elif not drain_asked(folder):
            train(None)


def _comes_early(turn: Turn, folder: Path, steady_seconds: float) -> bool:
    """Whether the turn comes before the other trains steadily."""
    began, learns_since = time.time(), float("inf")
    while time.time() < learns_since + steady_seconds:
        if turn.take():
            return True
        windows = folder / WINDOWS
        if windows.is_file() and (at := windows.stat().st_mtime) > began:
            learns_since = min(learns_since, at)
        time.sleep(LOOK_SECONDS)
    return False


if __name__ == "__main__":
    typer.run(main)
