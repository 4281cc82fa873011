"""One of equal drivers of a run: one trains, and where it is killed the next goes on.

Usage: python -m jobs.standby CONFIG
"""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import typer

from easq.train.config import load_config
from easq.train.drain import drain_asked, forget_drain
from easq.train.lines import last_line
from easq.train.run_folder import RUN, WINDOWS, run_folder
from easq.train.turn import NEXT, TURN, Turn, turn_of

STEADY_SECONDS = 30.0
"""A training that has just begun has more urgent work for the cores than a standby has."""
CURRENT_SECONDS = 2.0
"""Of lag: whoever has windows that new has viewers, thus a service, and nothing to make up for."""
LOOK_SECONDS = 0.2

Train = Callable[[Callable[[], bool] | None], None]


def main(config: Path) -> None:
    resolved = load_config(config)

    @cache
    def imported() -> Train:
        from jobs.train import console, problems_told, train_run

        def train(turn: Callable[[], bool] | None) -> None:
            with problems_told():
                train_run(resolved, console(), turn=turn)

        return train

    in_turn(run_folder(resolved), imported, STEADY_SECONDS)


def in_turn(folder: Path, imported: Callable[[], Train], steady_seconds: float) -> None:
    """Train, at once or when another has died that does; not where the run was drained meanwhile.

    One of those that wait is prepared, once the one that trains has caught up with its log or has
    learnt for `steady_seconds`; further ones have done the imports alone, after those seconds.

    Args:
        imported: does the imports of a training, once, and returns what trains. That gets what
            waits for its turn and says whether to go on; None: it is its turn.
    """
    with turn_of(folder) as turn, turn_of(folder, NEXT) as place:
        if turn.take():
            forget_drain(folder)
            imported()(None)
            return
        if not (place.take() or _comes_early(place, folder, steady_seconds, 0.0)):
            imported()
            place.take(wait=True)

        def go_on() -> bool:
            turn.take(wait=True)
            place.give_back()
            return not drain_asked(folder)

        if not _comes_early(turn, folder, steady_seconds, CURRENT_SECONDS):
            imported()(go_on)
        elif go_on():
            imported()(None)


def _comes_early(turn: Turn, folder: Path, steady_seconds: float, current_seconds: float) -> bool:
    """Whether the turn comes before the other trains steadily, or lags by less."""
    found: dict[str, Any] | None = None
    learns_since = float("inf")
    while time.monotonic() < learns_since + steady_seconds:
        if turn.take():
            return True
        if _learns(folder):
            newest = last_line(folder / WINDOWS) or {}
            if found is None:
                found = newest  # perhaps of one that was killed
            elif newest != found:
                learns_since = min(learns_since, time.monotonic())
                if newest.get("lag_seconds", float("inf")) < current_seconds:
                    return False
        time.sleep(LOOK_SECONDS)
    return False


def _learns(folder: Path) -> bool:
    """Whether the one whose turn it is has claimed the run and gone on with its windows."""
    taken, claimed, learnt = (_changed(folder / name) for name in (TURN, RUN, WINDOWS))
    return taken <= claimed <= learnt


def _changed(path: Path) -> float:
    """Unix seconds; 0: there is no such file."""
    return path.stat().st_mtime if path.is_file() else 0.0


if __name__ == "__main__":
    typer.run(main)
