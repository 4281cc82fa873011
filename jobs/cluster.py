"""The Ray cluster a job runs on: the one it was sent to, or one of its own on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from easq.own_folder import own_folder
from easq.ray_watch import ended_with_ray
from jobs.local_ray import OBJECT_STORE_BYTES, local_environment


@contextmanager
def ray_cluster(cpus: int, dashboard: bool = False, address: str | None = None) -> Iterator[None]:
    """The cluster at `address` or of RAY_ADDRESS, which a submitted job has; else one of its own,
    started and stopped.

    Inside another `ray_cluster` it is that one.

    `cpus` are the slots of a cluster that is started. It takes free ports and asks for a token.
    Where it ends by itself, this process ends too.
    """
    if ray.is_initialized():
        yield
        return
    if address or os.environ.get("RAY_ADDRESS"):
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
        try:
            yield
        finally:
            ray.shutdown()
        return
    with own_folder("easq-ray-") as folder:
        try:
            _start(folder, cpus, dashboard)
            with ended_with_ray():
                yield
        finally:
            ray.shutdown()


def _start(folder: Path, cpus: int, dashboard: bool) -> None:
    os.environ.update(local_environment(dashboard))
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
