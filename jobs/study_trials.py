"""Trials as Ray tasks: one core each, told of as they finish, and never run twice."""

import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import ray
from ray.exceptions import RayTaskError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from easq.study.trial import is_done, run_trial, world
from jobs.cluster import ray_cluster


class Keyed(Protocol):
    """A trial of some study: its keys name all that decides its result, and its world's."""

    @property
    def key(self) -> str: ...

    @property
    def world_key(self) -> str: ...


T = TypeVar("T", bound=Keyed)


class Running(NamedTuple):
    """How the trials of a study are done, each function of a trial and the study's folder."""

    is_done: Callable[[Any, Path], bool]
    world: Callable[[Any, Path], object]
    run: Callable[[Any, Path], str]


TRIALS = Running(is_done, world, run_trial)


def run_trials(
    trials: Sequence[Keyed],
    out: Path,
    console: Console,
    address: str | None = None,
    how: Running = TRIALS,
) -> None:
    """Run those without a result. `out` must be seen by all nodes of the cluster.

    Raises:
        ValueError: trials failed; the others have finished.
    """
    if not (missing := without_result(trials, out, console, how)):
        return
    with ray_cluster(cpus=os.cpu_count() or 1, address=address):
        failed = _run(missing, out, console, how)
    refuse_failed(failed, len(missing))


def without_result(
    trials: Sequence[T], out: Path, console: Console, how: Running = TRIALS
) -> list[T]:
    """The trials to run, and a line that counts them."""
    missing = [trial for trial in trials if not how.is_done(trial, out)]
    console.print(f"{len(trials)} trials, {len(trials) - len(missing)} of them done already")
    return missing


def refuse_failed(failed: Sequence[str], tried: int) -> None:
    """Raises ValueError unless all have finished; `failed`: a sentence a trial."""
    if failed:
        raise ValueError(
            f"{len(failed)} of {tried} trials failed: {'; '.join(failed)}. The others have "
            "finished; the same command tries these again"
        )


@ray.remote(num_cpus=1)
def _world(trial: Keyed, out: Path, how: Running) -> None:
    how.world(trial, out)


@ray.remote(num_cpus=1)
def _trial(trial: Keyed, key: str, out: Path, how: Running, _simulated: None) -> str:
    same_code(trial, key)
    return how.run(trial, out)


def same_code(trial: Keyed, key: str) -> None:
    """Refuse a result that other code would make than that of the study's start."""
    if trial.key != key:
        raise ValueError("the code is another one than when the study began; start it again")


def _run(trials: Sequence[Keyed], out: Path, console: Console, how: Running) -> list[str]:
    """A task a core and one that waits: Ray starts a process for every task that is told to it."""
    worlds = {trial.world_key: trial for trial in trials}
    simulated = {key: _world.remote(trial, out, how) for key, trial in worlds.items()}
    told = iter(trials)
    running: dict[ray.ObjectRef, Keyed] = {}
    failed: list[str] = []
    started, at_once = time.perf_counter(), int(ray.cluster_resources().get("CPU", 0)) + 1
    with _bar(console) as bar:
        task = bar.add_task("trials", total=len(trials))
        for count in range(1, len(trials) + 1):
            for t in islice(told, at_once - len(running)):
                running[_trial.remote(t, t.key, out, how, simulated[t.world_key])] = t
            [done], _ = ray.wait(list(running))
            trial = running.pop(done)
            try:
                seconds = time.perf_counter() - started
                console.print(f"{count}/{len(trials)}  {seconds:.0f} s  {ray.get(done)}")
            except RayTaskError as error:
                failed.append(f"{trial.key}: {error.cause}")
                console.print(failed[-1])
            bar.advance(task)
    return failed


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("trials"),
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
