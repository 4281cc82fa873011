"""All of the platform on this machine: samples, training, MLflow, serving, a few rankings.

Usage: easq demo [--data path/to/KuaiRand-Pure] [--out DIR]
"""

import json
import os
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from easq.history import History
from easq.train.config import TrainConfig, parse_config
from easq.train.run_folder import run_folder
from jobs.cluster import ray_cluster
from jobs.demo_report import kuairand_report, samples_of, simulated_report
from jobs.import_kuairand import import_kuairand
from jobs.ranking_client import distinct_requests, live_version, rank, rank_request
from jobs.services import Service, free_port, service, wait_for
from jobs.simulate import simulate
from jobs.train import train_run

MODEL = "easq-ranker"
TOKEN = secrets.token_hex(32)
"""Of the demo's own Ray, which the dashboard asks for."""
RANKED_REQUESTS = 50
START_SECONDS = 120


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of KuaiRand logs. Without it, requests are simulated."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep samples, runs and the MLflow database here; else all is removed."),
    ] = None,
) -> None:
    """Make samples, train on Ray, register in MLflow, serve on Ray Serve, and rank."""
    console = Console(soft_wrap=True, markup=False)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    started = time.perf_counter()
    try:
        with _folder(out) as folder, ExitStack() as services:
            _demo(console, data, folder, services, started)
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


def _demo(
    console: Console, data: Path | None, folder: Path, services: ExitStack, started: float
) -> None:
    tracking = f"sqlite:///{folder / 'mlflow.db'}"
    console.rule("1  samples")
    history = _samples(data, folder)
    console.rule("2  services")
    mlflow_url = _mlflow(services, folder, tracking)
    state, serving = _serving(services, folder, tracking)
    url = state["url"]
    console.print(f"MLflow         {mlflow_url}/#/experiments")
    console.print(f"ranking API    {url}/docs (it has no version to serve yet)")
    console.print(f"Ray dashboard  {state['dashboard']} (token {TOKEN})")
    console.rule("3  training")
    with ray_cluster(cpus=(os.cpu_count() or 1) + 1):
        runs = [_train(console, config) for config in _configs(data, folder, history, tracking)]
    console.rule("4  what it learnt")
    console.print(_report(data, history, runs))
    console.rule("5  serving")
    serving.check()
    _rank(console, url, history)
    console.rule()
    minutes = (time.perf_counter() - started) / 60
    console.print(f"all of it took {minutes:.1f} minutes")
    _linger(console, serving)


def _samples(data: Path | None, folder: Path) -> History:
    out = folder / "samples"
    if data is None:
        simulate(out=out)
    else:
        import_kuairand(data, out=out)
    return History.open(out)


def _mlflow(services: ExitStack, folder: Path, tracking: str) -> str:
    from easq.registry import champion

    champion(tracking, MODEL)  # makes the database; the server would race with training for it
    port = free_port()
    command = ["mlflow", "server", "--backend-store-uri", tracking, "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    services.enter_context(service("MLflow", command, folder / "mlflow.log", quiet))
    return f"http://127.0.0.1:{port}"


def _serving(services: ExitStack, folder: Path, tracking: str) -> tuple[dict[str, str], Service]:
    """Starts while samples are learnt from; it answers 503 until there is a champion."""
    state = folder / "serving.json"
    state.unlink(missing_ok=True)
    settings = {
        "EASQ_TRACKING_URI": tracking,
        "EASQ_MODEL_NAME": MODEL,
        "EASQ_CACHE_DIR": str(folder / "versions"),
        "EASQ_STATE_FILE": str(state),
        "EASQ_DASHBOARD": "true",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
    }
    running = services.enter_context(
        service("serving", ["serving.up"], folder / "serving.log", settings)
    )
    return json.loads(wait_for(state, running, START_SECONDS)), running


def _configs(data: Path | None, folder: Path, history: History, tracking: str) -> list[TrainConfig]:
    """EASQ, tracked and registered; beside it what it is compared with."""
    common: dict[str, Any] = {"storage": str(folder / "runs"), "keep_scores": True}
    tree: dict[str, Any] = {"data": {"history": str(history.root), "window": 2048}}
    tracked = {"tracking": {"uri": tracking, "model_name": MODEL, "register_every_minutes": 0.1}}
    if data is None:
        others = [("emer", 0, {"model": {"method": "emer"}})]
    else:
        tree["data"]["window"] = "day"
        others = [(f"easq-seed-{seed}", seed, {}) for seed in (1, 2)]
    named = [("easq", 0, tracked), *others]
    return [
        parse_config({**tree, **extra, "run": {**common, "name": name, "seed": seed}}, "the demo")
        for name, seed, extra in named
    ]


def _train(console: Console, config: TrainConfig) -> Path:
    train_run(config, console)
    return run_folder(config)


def _report(data: Path | None, history: History, runs: list[Path]) -> Table:
    if data is None:
        return simulated_report(history, {"EASQ": runs[0], "EMER (behaviour only)": runs[1]})
    return kuairand_report(history, runs)


def _rank(console: Console, url: str, history: History) -> None:
    """Ask the service about the history's last requests, and compare with the champion's files."""
    spec = history.description.features
    rows = distinct_requests(samples_of(history), RANKED_REQUESTS)
    answers = [rank(url, rank_request(spec, row)) for row in rows]
    for row, answer in list(zip(rows, answers, strict=True))[:3]:
        body = answer.body
        best = ", ".join(
            f"{item} ({score:+.2f})"
            for item, score in list(zip(body["item_id"], body["score"], strict=True))[:5]
        )
        console.print(
            f"user {row['user_id']}, {len(row['item_id'])} candidates, "
            f"version {body['model']['version']}: {best}"
        )
    p50 = statistics.median(answer.milliseconds for answer in answers)
    candidates = np.mean([len(row["item_id"]) for row in rows])
    console.print(
        f"{len(answers)} rankings of {candidates:.0f} candidates on average: "
        f"p50 {p50:.1f} ms over HTTP, version {live_version(url)} live"
    )


def _linger(console: Console, serving: Service) -> None:
    """Stay up for whoever looks; a script is not kept waiting."""
    if not sys.stdout.isatty():
        return
    console.print("MLflow, API and dashboard (2) stay up; Ctrl-C stops everything")
    while True:
        serving.check()
        time.sleep(1)
