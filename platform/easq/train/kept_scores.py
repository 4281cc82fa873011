"""Scores of a window as files, to evaluate afterwards.

RUN/scores/window-000012/rank-0-of-2.parquet: a row a candidate, in the order of the rank's samples.
"""

import re
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easq.train.collective import rank, world_size
from easq.train.learner import WindowScores

NAME = re.compile(r"rank-(\d+)-of-(\d+)\.parquet")


def keep_scores(scores: WindowScores, window: int, run_folder: Path) -> None:
    """Write this rank's file of a window, in place of those of other numbers of workers."""
    columns = {
        "request_id": scores.flat.request_id.take(pa.array(scores.flat.request)),
        "item_id": pa.array(scores.flat.columns.item["item_id"]),
        "main": pa.array(scores.main),
    }
    if scores.satisfaction is not None:
        columns["satisfaction"] = pa.array(scores.satisfaction)
    folder = run_folder / "scores" / f"window-{window:06d}"
    folder.mkdir(parents=True, exist_ok=True)
    if rank() == 0:
        _remove_others(folder)
    path = folder / f"rank-{rank()}-of-{world_size()}.parquet"
    building = path.with_suffix(".building")
    pq.write_table(pa.table(columns), building)
    building.replace(path)


def _remove_others(folder: Path) -> None:
    for file in folder.glob("rank-*.parquet"):
        if not file.name.endswith(f"-of-{world_size()}.parquet"):
            file.unlink()


def kept_scores(run_folder: Path, path: Literal["main", "satisfaction"] = "main") -> np.ndarray:
    """y-hat (or s-hat) of every candidate of the history, in its order.

    Raises:
        ValueError: a window lacks the scores of a worker, or has those of several trainings.
    """
    folders = sorted(run_folder.glob("scores/window-*"))
    if not folders:
        raise ValueError(f"{run_folder} keeps no scores; train with run.keep_scores = true")
    return np.concatenate([_window_scores(folder, path) for folder in folders])


def _window_scores(folder: Path, path: str) -> np.ndarray:
    """Request i of a window is request i // world of rank i mod world (share.py)."""
    files = _one_set(folder)
    parts = [pq.read_table(file, columns=["request_id", path]) for file in files]
    numbers = [_request_numbers(part.column("request_id")) for part in parts]
    counts = [number[-1] + 1 if len(number) else 0 for number in numbers]
    if counts != [len(range(r, sum(counts), len(files))) for r in range(len(files))]:
        raise ValueError(
            f"{folder} has {counts} requests of its workers, which are not of one training; "
            "train again under a new run.name"
        )
    requests = [number * len(files) + r for r, number in enumerate(numbers)]
    order = np.argsort(np.concatenate(requests), kind="stable")
    return np.concatenate([part.column(path).to_numpy() for part in parts])[order]


def _one_set(folder: Path) -> list[Path]:
    """The files of all workers of a window, by rank."""
    names = sorted(path.name for path in folder.glob("*.parquet"))
    found = [NAME.fullmatch(name) for name in names]
    worlds = {int(match[2]) for match in found if match}
    expected = [f"rank-{r}-of-{world}.parquet" for world in worlds for r in range(world)]
    if len(worlds) != 1 or names != sorted(expected):
        raise ValueError(
            f"{folder} should hold one file of scores of each worker, and holds {names}; "
            "train again under a new run.name"
        )
    return [folder / name for name in expected]


def _request_numbers(request_id: pa.ChunkedArray) -> np.ndarray:
    """0 for the candidates of a rank's first request, 1 for those of its next, and so on."""
    ids = request_id.combine_chunks().dictionary_encode().indices.to_numpy()
    return np.cumsum(np.diff(ids, prepend=ids[:1]) != 0)
