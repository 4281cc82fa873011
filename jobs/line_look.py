"""What can be seen of a model line: its training, what it announced, what the gate decided."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from easq.log.connect import open_log
from easq.log.interface import MODELS, Log, LogError
from easq.registry_aliases import newest_tags
from easq.registry_client import MlflowError
from easq.rollout import lane_stopped
from easq.rollout_log import held_from, newest_rollout
from easq.train.lines import last_line
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import QUARANTINE, WINDOWS
from jobs.gatekeeper import AFTER, REASON, ROLLED_OUT, VERDICT

TAIL = 512
"""Announcements that are looked through for rollouts."""
VERSIONS = 5
WAITING = "it waits for enough requests that no version has learnt"


def look_at_line(run: str, models: str) -> dict[str, Any]:
    """From its run's folder and the log of its announcements."""
    log = open_log(models)
    return {
        "training": _training(Path(run)),
        "announced": ends(log, MODELS),
        "lane": _lane(log),
        "gate": decisions(log),
    }


def _lane(log: Log) -> str:
    """Whether deltas are served, or why the gate or a rollback has stopped them."""
    try:
        stopped = lane_stopped(newest_rollout(log))
    except LogError as error:
        return f"not known: {error}"
    return "deltas are served" if stopped is None else f"stopped: {stopped}"


def verdicts(mlflow: str, model_name: str) -> list[dict[str, Any]]:
    """What the gate has said of the newest versions, newest first; none when MLflow is away."""
    try:
        found = newest_tags(mlflow, model_name, VERSIONS)
    except (MlflowError, ValueError):
        return []
    return [
        {
            "version": version,
            "verdict": tags.get(VERDICT, "waits"),
            "reason": tags.get(REASON, WAITING),
            "rollout": tags.get(ROLLED_OUT),
        }
        for version, tags in found
        if AFTER in tags or VERDICT in tags
    ]


def ends(log: Log, topic: str) -> dict[int, int] | str:
    """Of each partition, or why that cannot be told."""
    try:
        return {p: log.end(topic, p) for p in range(log.partitions(topic))}
    except LogError as error:
        return str(error)


def _training(run: Path) -> dict[str, Any] | None:
    """The last window and the position of the newest checkpoint."""
    last = last_line(run / WINDOWS)
    checkpoint = newest_checkpoint(run) if run.is_dir() else None
    if last is None and checkpoint is None:
        return None
    return {
        "last_window": last,
        "age_seconds": _age_seconds(last),
        "left_out": last_line(run / QUARANTINE),
        "checkpoint": checkpoint and read_position(checkpoint).model_dump(),
    }


def _age_seconds(window: dict[str, Any] | None) -> float | None:
    """Since a window was learnt; None: its line does not tell."""
    if window is None or "learnt_at" not in window:
        return None
    return (datetime.now(UTC) - datetime.fromisoformat(window["learnt_at"])).total_seconds()


def decisions(log: Log) -> list[dict[str, Any]]:
    """The last rollouts, newest first."""
    try:
        begin, end = log.begin(MODELS, 0), log.end(MODELS, 0)
        told = {one.seq: one for one in held_from(log, max(begin, end - TAIL), end)}
    except LogError:
        return []
    newest = sorted(told.values(), key=lambda one: one.seq, reverse=True)[:5]
    return [
        {"at_ms": one.made_at_ms, **one.rollout.model_dump(exclude={"repeats", "decided_on"})}
        for one in newest
    ]
