"""Vary K1, K2, lambda_1 and lambda_2 one at a time, with Ray Tune (the paper's Fig. 6).

Usage: easq sweep [--preset quick|evidence|paper] [--draws N] [--out DIR] [--address RAY]
"""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from ray import tune
from rich.console import Console

from easq.study.plan import Plan
from easq.study.rankings import SERVED
from easq.study.report import of_plan
from easq.study.trial import Trial, read_sums, run_trial
from easq.study.variants import COMPARED, SWEEP, judge_variants
from easq.study.variants_page import sweep as findings
from easq.train.failures import reason
from easq.train.trainer import signals_kept
from jobs.cluster import ray_cluster
from jobs.study_output import (
    OUT,
    Address,
    Draws,
    Out,
    Size,
    Tracking,
    plan_of,
    told_problems,
    written,
)
from jobs.study_trials import refuse_failed, run_trials, same_code, without_result

_NO_HANDLER = "TUNE_DISABLE_SIGINT_HANDLER"


def sweep(
    preset: Size = "quick",
    draws: Draws = None,
    out: Out = OUT,
    address: Address = None,
    tracking: Tracking = None,
) -> None:
    """Train EASQ with other numbers of experts and other weights of its losses."""
    with told_problems() as console:
        swept(plan_of(preset, draws), out.resolve(), console, address, tracking)


def swept(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """Run what is missing and write the page; returns it."""
    console.rule("sweep")
    run_trials(plan.trials(COMPARED), out, console, address)
    _tune(plan.trials(SWEEP), out, console, address)
    page = written(
        "sweep", of_plan(plan), findings(judge_variants(plan, SWEEP, out)), out, tracking
    )
    console.print(f"page: {page}")
    return page


def _tune(trials: Sequence[Trial], out: Path, console: Console, address: str | None) -> None:
    """A grid of the trials that have no result yet.

    Raises:
        ValueError: trials failed; the others have finished.
    """
    if not (missing := without_result(trials, out, console)):
        return
    by_key = {trial.key: trial for trial in missing}
    with ray_cluster(cpus=os.cpu_count() or 1, address=address), signals_kept(), _quiet_tune():
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, trials=by_key, out=out), {"cpu": 1}),
            param_space={"key": tune.grid_search(list(by_key))},
            tune_config=tune.TuneConfig(metric="truth_ndcg_5", mode="max"),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(out / "tune"),
                verbose=0,
                callbacks=[_Told(len(missing))],
            ),
        ).fit()
    refuse_failed([reason(error) for error in results.errors], len(missing))


@contextmanager
def _quiet_tune() -> Iterator[None]:
    """Without its handler of SIGINT, which ends a study as if trials had failed, nor its errors:
    failures are told in the end."""
    log = logging.getLogger("ray.tune")
    level = log.level
    os.environ[_NO_HANDLER] = "1"
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        del os.environ[_NO_HANDLER]


def _trial(config: dict[str, str], trials: dict[str, Trial], out: Path) -> None:
    trial = trials[config["key"]]
    same_code(trial, config["key"])
    run_trial(trial, out)
    tune.report(read_sums(trial, out).means()[SERVED])


class _Told(tune.Callback):
    """A line a trial, and an end at Ctrl-C. Tune pickles it, so it holds no console."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.stopped = False

    def setup(self, *args: Any, **info: Any) -> None:
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, *_: object) -> None:
        """A first one between two steps: within one, Tune may take it for an error of a trial."""
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.stopped:
            raise KeyboardInterrupt

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.done += 1
        typer.echo(f"{self.done}/{self.total}  {trial.config['key']}")


if __name__ == "__main__":
    typer.run(sweep)
