"""The folder of a run: what it was started with, how far it is, and what each window brought.

run.json            configuration, digest of the history, and who trains it now
latest.json         the newest checkpoint; replaced once that is complete
windows.jsonl       a line of metrics for each window; old ones go when they are many
last_scores.json    how the scores of the newest window are spread, of rank 0's rows
mlflow-has-all      there once the MLflow run has ended and has its pictures
failures.jsonl      a line for each failure of the workers
reached.json        the furthest that a start of the run has learnt, with each window
attempts.json       the window in work, and how often windows have failed
quarantine.jsonl    a line for each window that was given up, and why; the rows of the
                    newest are in quarantine/
drain               there while the run is asked to stop after a checkpoint
running             locked by whoever trains
turn                locked by the driver whose turn it is, where others stand by; its process id
next                locked by the one that stands by prepared
ray-train/          what Ray Train writes for itself
scores/             what candidates scored before their window was learnt from, if asked for
versions/           versions that wait for the registry
window-000012/      a checkpoint that has learnt all windows before the 12th
damaged-window-…/   one that was not as it had been written, put aside
"""

import json
import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from easq.history import Description
from easq.train.config import TrainConfig
from easq.train.drain import drain_asked, forget_drain
from easq.train.durable import read_model, replace_file

RUN = "run.json"
WINDOWS = "windows.jsonl"
FAILURES = "failures.jsonl"
QUARANTINE = "quarantine.jsonl"
SCORES = "last_scores.json"
RAY_TRAIN = "ray-train"
LOOK_SECONDS = 0.1
WEIGHTS_DEPEND_ON = {
    "run": {"seed"},
    "data": {"window"},
    "stream": {"log"},
    **dict.fromkeys(("model", "order", "pairs", "loss", "optim"), True),
    **dict.fromkeys(("imputation", "saqrec", "classic_dpo"), True),
}
MAY_COME_LATER = {"stream.log"}


class SupersededError(RuntimeError):
    """A newer start of the same run has taken over; this one must not write any more."""


class Claim(BaseModel):
    """Contents of run.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    incarnation: int
    """Counts the starts of the run."""
    token: str
    """Of one start alone: two at the same moment count alike. Only the newest may write."""
    history_digest: str
    config: TrainConfig


class Start(NamedTuple):
    """Of a driver that trains a run, or waits to."""

    config: TrainConfig
    token: str
    incarnation: int


def run_folder(config: TrainConfig) -> Path:
    return config.run.storage / config.run.name


def waiting_versions(run_dir: Path) -> list[Path]:
    """Versions that the registry does not have yet, oldest first."""
    return sorted((run_dir / "versions").glob("window-*"))


def claim(config: TrainConfig, history: Description, token: str | None = None) -> Claim:
    """Take the run over, or begin it; returns the claim that may write from now on.

    Args:
        token: of a start that has one already.

    Raises:
        ValueError: the run was begun with settings or samples that give other weights.
    """
    made = Claim(
        incarnation=next_incarnation(config, history),
        token=token or uuid4().hex,
        history_digest=history.digest,
        config=config,
    )
    replace_file(run_folder(config) / RUN, made.model_dump_json(indent=2))
    forget_drain(run_folder(config))
    return made


def next_incarnation(config: TrainConfig, history: Description) -> int:
    """What the next start of a run counts as. Raises as `check_begun` does."""
    begun = check_begun(config, history)
    return begun.incarnation + 1 if begun is not None else 1


def check_begun(config: TrainConfig, history: Description) -> Claim | None:
    """How the run was begun, if it was.

    Raises:
        ValueError: the run was begun with settings or samples that give other weights.
    """
    path = run_folder(config) / RUN
    if not path.is_file():
        return None
    begun = read_model(path, Claim)
    before, now = _settings(begun.config), _settings(config)
    changes = [
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not (key in MAY_COME_LATER and key not in before)
    ]
    if begun.history_digest != history.digest:
        changes.append(f"the samples were {begun.history_digest} and are {history.digest}")
    if changes:
        raise ValueError(
            f"run {config.run.name} in {config.run.storage} was begun otherwise: "
            f"{'; '.join(changes)}. Restore these, or choose a new run.name."
        )
    return begun


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Dotted settings that the weights depend on; how many workers compute them is not one."""
    tree = config.model_dump(mode="json", include=WEIGHTS_DEPEND_ON)
    return {
        f"{table}.{key}": value
        for table, values in tree.items()
        for key, value in (values or {}).items()
    }


def check_claim(folder: Path, own: Claim) -> None:
    """Refuse to write for a run that was started again elsewhere."""
    newest = read_model(folder / RUN, Claim)
    if newest.token != own.token:
        raise _superseded(folder, newest, own.incarnation)


def awaited_claim(start: Start) -> Claim | None:
    """The claim of a start, which may wait for another's end; None: that was drained.

    Raises:
        SupersededError: a third start came between.
    """
    folder = run_folder(start.config)
    while (newest := read_model(folder / RUN, Claim)).token != start.token:
        if newest.incarnation >= start.incarnation:
            raise _superseded(folder, newest, start.incarnation)
        if drain_asked(folder):
            return None
        time.sleep(LOOK_SECONDS)
    return newest


def _superseded(folder: Path, newest: Claim, incarnation: int) -> SupersededError:
    return SupersededError(
        f"{folder} was taken over by another start of the run (start {newest.incarnation}; "
        f"this is start {incarnation}). Stop one of the two."
    )


def append_line(path: Path, record: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def forget_windows_from(folder: Path, window: int) -> None:
    """Drop the lines of windows that are about to be learnt again, and a line cut short."""
    path = folder / WINDOWS
    if path.is_file():
        lines = [line for line in path.read_text().splitlines(True) if line.endswith("\n")]
        kept = [line for line in lines if json.loads(line)["window"] < window]
        replace_file(path, "".join(kept))
