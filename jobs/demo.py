"""All of the platform on this machine: samples, training, MLflow, serving, and the living loop.

Usage: easq demo [--seconds N] [--data path/to/KuaiRand-Pure] [--out DIR]
"""

import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from easq.history import History
from easq.train.config import TrainConfig, parse_config
from easq.train.run_folder import run_folder
from jobs.cluster import ray_cluster
from jobs.demo_plan import SAMPLES, Plan, configs_of, settings_of
from jobs.demo_ranking import rank_history
from jobs.demo_report import kuairand_report, simulated_report
from jobs.import_kuairand import import_kuairand
from jobs.living import FEEDBACK_SECONDS, SERVING, live, living_report, settled, wake
from jobs.loop import Loop, wait_until_ready
from jobs.loop_parts import LoopSettings
from jobs.simulate import simulate
from jobs.sole_loop import sole_loop
from jobs.train import train_run

SETTINGS = LoopSettings(feedback_seconds=FEEDBACK_SECONDS, serving=SERVING)
VIEWERS_RATE = 20.0
"""Requests a second of simulated viewers."""


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of KuaiRand logs. Without it, requests are simulated."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long simulated viewers stay.")] = 60,
    requests: Annotated[int, typer.Option(min=100, help="Simulated requests to begin with.")] = (
        20_000
    ),
    out: Annotated[
        Path | None,
        typer.Option(help="Keep samples, runs and the MLflow database here; else all is removed."),
    ] = None,
) -> None:
    """Make samples, train on Ray, serve on Ray Serve; then learn from viewers as they watch."""
    console = Console(soft_wrap=True, markup=False)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    started = time.perf_counter()
    try:
        with _folder(out) as folder:
            _demo(console, Plan(data, requests, seconds), folder, started)
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(130) from None


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """The demo's files: kept in `out`, or in a folder that goes with the demo."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        yield out.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="easq-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _demo(console: Console, plan: Plan, folder: Path, started: float) -> None:
    file = folder / "demo.toml"
    settings = settings_of(folder, plan)
    config = parse_config(tomllib.loads(settings), str(file))
    with sole_loop(config, folder) as held:
        file.write_text(settings)
        loop = Loop(config, file, folder, SETTINGS, held=held)
        _shown(console, plan, loop, started)


def _shown(console: Console, plan: Plan, loop: Loop, started: float) -> None:
    console.rule("1  samples")
    history = _samples(plan, loop.folder)
    console.rule("2  services")
    try:
        loop.start("mlflow", "serving")
        console.print(f"MLflow         {loop.mlflow_url}/#/experiments")
        console.print(f"ranking API    {loop.url}/docs (it has no version to serve yet)")
        console.rule("3  training")
        with ray_cluster(cpus=(os.cpu_count() or 1) + 1):
            runs = [_train(console, c) for c in configs_of(loop.config, plan)]
        console.rule("4  what it learnt")
        console.print(_report(plan, history, runs))
        console.rule("5  serving")
        wait_until_ready(loop)
        rank_history(console, loop.url, history)
        if plan.data is None:
            console.rule("6  the loop")
            _live(console, loop, history, plan.seconds)
        console.rule()
        minutes = (time.perf_counter() - started) / 60
        console.print(f"all of it took {minutes:.1f} minutes")
        _linger(console, loop)
    finally:
        loop.stop()


def _samples(plan: Plan, folder: Path) -> History:
    out = folder / SAMPLES
    if plan.data is None:
        simulate(out=out, requests=plan.requests)
    else:
        import_kuairand(plan.data, out=out)
    return History.open(out)


def _live(console: Console, loop: Loop, history: History, seconds: float) -> None:
    """The same run goes on with what viewers do and answer."""
    console.print("training goes on from its checkpoint, with the log")
    loop.start("join", "ray", "train")
    wake(loop, history)
    seen, ledger = live(console, loop, history, seconds, VIEWERS_RATE)
    fate = settled(loop, ledger)
    console.print(living_report(loop, seen, ledger, fate))


def _train(console: Console, config: TrainConfig) -> Path:
    train_run(config, console)
    return run_folder(config)


def _report(plan: Plan, history: History, runs: list[Path]) -> Table:
    if plan.data is None:
        return simulated_report(history, {"EASQ": runs[0], "EMER (behaviour only)": runs[1]})
    return kuairand_report(history, runs)


def _linger(console: Console, loop: Loop) -> None:
    """Stay up for whoever looks; a script is not kept waiting."""
    if not sys.stdout.isatty():
        return
    console.print("MLflow and the API (2) stay up; Ctrl-C stops everything")
    while True:
        for sentence in loop.look():
            console.print(sentence)
        time.sleep(1)
