"""The Ray cluster a job runs on: the one it was sent to, or one of its own on this machine."""

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from easq.own_folder import own_folder

OBJECT_STORE_BYTES = 1 << 30
LOCAL_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_worker_niceness": "0",
}
"""What a cluster of one machine has no use for. Ray gives its workers niceness 15, with which they
starve beside any busy process."""


@contextmanager
def ray_cluster(cpus: int, dashboard: bool = False) -> Iterator[None]:
    """The cluster of RAY_ADDRESS, which a submitted job has; else one that is started and stopped.

    Inside another `ray_cluster` it is that one.

    `cpus` are the slots of a cluster that is started. It takes free ports and asks for a token.
    """
    if ray.is_initialized():
        yield
        return
    if os.environ.get("RAY_ADDRESS"):
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
        try:
            yield
        finally:
            ray.shutdown()
        return
    with own_folder("easq-ray-") as folder:
        try:
            _start(folder, cpus, dashboard)
            yield
        finally:
            ray.shutdown()


def _start(folder: Path, cpus: int, dashboard: bool) -> None:
    for name, value in LOCAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Unless RAY_AUTH_MODE says otherwise Ray asks for a token, and would leave one in the home
    # folder, where later clusters find it.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    ray.init(
        address="local",
        num_cpus=cpus,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=dashboard,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.WARNING,
        _temp_dir=str(folder),
    )
