"""Settings of a Ray cluster of one machine; without Ray, which takes a second to import."""

import math
import os
import secrets

from easq.train.config import WorkersSection

OBJECT_STORE_BYTES = 1 << 30
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Ray Train gives its processes an environment of their own, for which these would not do.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}
"""What a cluster of one machine has no use for. Ray gives its workers niceness 15, with which they
starve beside any busy process."""
UNSEEN = {"RAY_task_events_report_interval_ms": "0", "RAY_enable_metrics_collection": "0"}
"""What a dashboard alone shows: events of tasks, and metrics by task and by pass. Without one they
would pile up for nobody, hundreds of MB an hour in gcs_server, agent, workers and _StatsActor."""
KEPT_PROCESSES = {"RAY_num_workers_soft_limit": "32"}
"""Readers of a pass that ends are there for the next, and for the workers of a group that starts
again. Beyond one process a CPU, actors included, Ray ends what has been idle for a second."""


def local_environment(dashboard: bool = False) -> dict[str, str]:
    """Of a cluster of one machine and of its drivers, with a token of its own.

    Unless RAY_AUTH_MODE says otherwise Ray asks for a token, and would leave one in the home
    folder, where later clusters find it.
    """
    token = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    settings = QUIET | KEPT_PROCESSES | token | ({} if dashboard else UNSEEN)
    return {name: os.environ.get(name, value) for name, value in settings.items()}


def slots(*trainings: WorkersSection) -> int:
    """CPU slots of a cluster of this machine: its cores, and what reads for the workers."""
    computing = sum(workers.num * workers.threads for workers in trainings)
    reading = sum(workers.cpus for workers in trainings) - computing
    return max(os.cpu_count() or 1, computing) + math.ceil(reading)
