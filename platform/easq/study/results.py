"""Results of a study's trials as folders that appear whole or not at all.

A key is a readable start and a digest of all that decides the contents, so a finished trial is
never run again, and the jobs of a study share it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from easq.history import History
from easq.log.lease import brief_lease
from easq.study.code_version import DECIDES, code_version

RESULT = "result.json"


def digest(contents: dict[str, Any], decides: tuple[str, ...] = DECIDES) -> str:
    """Of what a trial was told, and of the code that `decides`."""
    whole = {**contents, "code": code_version(decides)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]


def has_result(folder: Path) -> bool:
    """Whether the trial of this folder has finished."""
    return (folder / RESULT).is_file()


def write_result(
    folder: Path,
    result: dict[str, Any],
    fill: Callable[[Path], None],
    decides: tuple[str, ...] = DECIDES,
) -> None:
    """Keep a result, its code and torch as JSON, and what `fill` writes into a folder."""
    building = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    fill(building)
    whole = {**result, "code": code_version(decides), "torch": torch.__version__}
    (building / RESULT).write_text(json.dumps(whole, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)


def history_of(root: Path, simulate: Callable[[Path], History]) -> History:
    """The history in a folder; simulated if it is not there yet, by the first who asks."""
    if not _is_there(root):
        with brief_lease(root.with_name(f".{root.name}.asked"), wait=True):
            return History.open(root) if _is_there(root) else simulate(root)
    return History.open(root)


def _is_there(root: Path) -> bool:
    return (root / "dataset.json").is_file()
