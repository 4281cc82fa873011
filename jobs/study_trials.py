"""Trials as Ray tasks: one core each, told of as they finish, and never run twice."""

import os
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import ray
from ray.exceptions import RayTaskError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from easq.study.trial import Trial, is_done, run_trial, world
from jobs.cluster import ray_cluster


def run_trials(
    trials: Sequence[Trial], out: Path, console: Console, address: str | None = None
) -> None:
    """Run those without a result. `out` must be seen by all nodes of the cluster.

    Raises:
        ValueError: trials failed; the others have finished.
    """
    missing = [trial for trial in trials if not is_done(trial, out)]
    console.print(f"{len(trials)} trials, {len(trials) - len(missing)} of them done already")
    if not missing:
        return
    with ray_cluster(cpus=os.cpu_count() or 1, address=address):
        failed = _run(missing, out, console)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(missing)} trials failed: {'; '.join(failed)}. The others have "
            "finished; the same command tries these again"
        )


@ray.remote(num_cpus=1)
def _world(trial: Trial, out: Path) -> None:
    world(trial, out)


@ray.remote(num_cpus=1)
def _trial(trial: Trial, key: str, out: Path, _simulated: None) -> str:
    same_code(trial, key)
    return run_trial(trial, out)


def same_code(trial: Trial, key: str) -> None:
    """Refuse a result that other code would make than that of the study's start."""
    if trial.key != key:
        raise ValueError("the code is another one than when the study began; start it again")


def _run(trials: Sequence[Trial], out: Path, console: Console) -> list[str]:
    """A task a core and one that waits: Ray starts a process for every task that is told to it."""
    worlds = {trial.world_key: trial for trial in trials}
    simulated = {key: _world.remote(trial, out) for key, trial in worlds.items()}
    told = iter(trials)
    running: dict[ray.ObjectRef, Trial] = {}
    failed: list[str] = []
    started, at_once = time.perf_counter(), int(ray.cluster_resources()["CPU"]) + 1
    with _bar(console) as bar:
        task = bar.add_task("trials", total=len(trials))
        for count in range(1, len(trials) + 1):
            for t in islice(told, at_once - len(running)):
                running[_trial.remote(t, t.key, out, simulated[t.world_key])] = t
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
