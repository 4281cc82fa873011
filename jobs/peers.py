"""Compare EASQ and EMER with ordinary rankers on a real log, most likes and hates hidden.

Usage: easq peers path/to/KuaiRand-Pure [--out FOLDER] [--revealed SHARE] [--seeds N]
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import typer
from rich.console import Console
from rich.progress import Progress

from easq.datasets.kuairand import import_files
from easq.datasets.kuairand_files import find_files
from easq.datasets.kuairand_lists import Lists
from easq.events import Answer
from easq.history import History, write_history
from easq.peers.additive import Additive
from easq.peers.deepfm import DeepFm
from easq.peers.examples import Examples, Peer, prequential
from easq.peers.item_rate import ItemRate
from easq.peers.judge import Truth
from easq.peers.lightgbm import LightGbm
from easq.samples import Flat, flatten
from easq.study.report import of_histories
from easq.train.config import TrainConfig, parse_config
from easq.train.kept_scores import kept_scores
from easq.train.run_folder import run_folder
from jobs.cluster import ray_cluster
from jobs.peers_report import Scores, findings, gauc_table, results_of
from jobs.study_output import written
from jobs.train import train_run

MAX_ROWS = 1 << 20
MAKERS: dict[str, tuple[Callable[[int], Peer], bool]] = {
    "item rate": (lambda seed: ItemRate(), False),
    "additive": (lambda seed: Additive(), False),
    "LightGBM": (LightGbm, True),
    "DeepFM": (DeepFm, True),
}
"""How each peer is made from a seed, and whether the seed changes anything."""


class Log(NamedTuple):
    """The log as methods learn it, and the same with every like and hate."""

    history: History
    truth: Truth
    day: np.ndarray  # number of the day of each candidate, [N]


def peers(
    data: Annotated[Path, typer.Argument(help="Folder of KuaiRand's files, plain or .gz.")],
    out: Annotated[
        Path, typer.Option(help="Keep scores, runs and the page here; a second start goes on.")
    ] = Path(".easq/peers"),
    revealed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of likes and hates that are answers.")
    ] = 0.1,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of what is random.")] = 3,
    tracking: Annotated[
        str, typer.Option(help="MLflow tracking server or database.")
    ] = "sqlite:///.easq/mlflow.db",
) -> None:
    """Hidden likes and long views, ranked inside user-days: EASQ, EMER and four peers."""
    console = Console(soft_wrap=True, markup=False)
    out = out.resolve() / f"revealed-{revealed:g}"
    log = _log(console, data, out, revealed)
    scores = _peers(log, out / "scores", seeds) | _rankers(console, log, out, seeds)
    results = results_of(log.truth, scores)
    console.print(gauc_table(results))
    found = findings(log.truth, results, revealed, seeds)
    page = written("peers", of_histories([log.history]), found, out, tracking)
    console.print(f"page: {page}")


def _log(console: Console, data: Path, out: Path, revealed: float) -> Log:
    """Import the log twice; nothing is trained on the one with every answer."""
    files = find_files(data)
    console.print(f"reading {', '.join(path.name for path in files.logs)}")
    out.mkdir(parents=True, exist_ok=True)
    histories = [
        write_history(out / name, *import_files(files, Lists.USER_DAY, MAX_ROWS, share))
        for name, share in (("samples", revealed), ("all-answers", 1.0))
    ]
    truth = Truth.of(*(_flat(history) for history in histories))
    requests = [day.requests for day in histories[0].description.days]
    day = np.repeat(np.arange(len(requests)), requests)
    return Log(histories[0], truth, day[truth.flat.request])


def _flat(history: History) -> Flat:
    return flatten(pa.concat_tables(history.read(window) for window in history.windows()))


def _peers(log: Log, folder: Path, seeds: int) -> Scores:
    """Each peer taught what viewers did, and what they answered."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = log.truth.flat
    examples = Examples.of(log.history.description.features, flat)
    targets = {
        "long views": flat.behaviours["long_view"],
        "answers": flat.answer == Answer.SATISFIED,
    }
    scores: Scores = {}
    with Progress() as progress:
        for name, (make, is_random) in MAKERS.items():
            for taught, target in targets.items():
                scores[f"{name}, {taught}"] = [
                    _kept(
                        folder
                        / f"{name}-{taught}-{seed}-{log.history.description.digest[:12]}.npy",
                        progress,
                        partial(prequential, partial(make, seed), examples, target, log.day),
                    )
                    for seed in range(seeds if is_random else 1)
                ]
    return scores


def _kept(
    path: Path, progress: Progress, score: Callable[[Callable[[int, int], None]], np.ndarray]
) -> np.ndarray:
    """The scores of a method, taken from its file where an earlier start finished it."""
    if path.is_file():
        return np.load(path)
    task = progress.add_task(path.stem)
    scores = score(lambda done, days: progress.update(task, completed=done, total=days))
    building = path.with_suffix(".building.npy")
    np.save(building, scores)
    building.replace(path)
    return scores


def _rankers(console: Console, log: Log, out: Path, seeds: int) -> Scores:
    """EASQ and EMER over the same days; a run that is complete is not trained again."""
    runs: dict[str, list[Path]] = {"easq": [], "emer": []}
    with ray_cluster(cpus=(os.cpu_count() or 1) + 1):
        for method, folders in runs.items():
            for seed in range(seeds):
                config = _config(log.history, out / "runs", method, seed)
                train_run(config, console)
                folders.append(run_folder(config))
    return {
        "EASQ, served score": [kept_scores(run) for run in runs["easq"]],
        "EASQ, satisfaction path": [kept_scores(run, "satisfaction") for run in runs["easq"]],
        "EMER": [kept_scores(run) for run in runs["emer"]],
    }


def _config(history: History, storage: Path, method: str, seed: int) -> TrainConfig:
    return parse_config(
        {
            "run": {
                "name": f"{method}-seed-{seed}",
                "storage": storage,
                "seed": seed,
                "keep_scores": True,
            },
            "data": {"history": history.root, "window": "day"},
            "model": {"method": method},
        },
        "easq peers",
    )
