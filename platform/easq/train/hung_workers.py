"""A worker that has stopped answering is killed, so that Ray Train starts its group again.

A worker answers in its main thread while another one trains, so it is not taken for hung however
long a step, a restore, a save or the wait for a window takes.
"""

import os
import signal
from contextlib import suppress

import ray
from ray.train.v2._internal.exceptions import WorkerHealthCheckTimeoutError
from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import Worker, WorkerGroup

HUNG_SECONDS = 10.0


class HungWorkers(WorkerGroupCallback):
    """Comes before the callbacks that ask workers to close: they would wait 35 s for the answer."""

    def before_worker_group_shutdown(self, worker_group: WorkerGroup) -> None:
        status = worker_group.get_latest_poll_status()
        errors = status.errors if status is not None else {}
        for rank, worker in enumerate(worker_group.get_workers()):
            if isinstance(errors.get(rank), WorkerHealthCheckTimeoutError):
                _kill(worker)


def _kill(worker: Worker) -> None:
    """At once where it runs on this node. Ray first asks it to end, and waits 5 s."""
    if worker.metadata.node_id == ray.get_runtime_context().get_node_id():
        with suppress(ProcessLookupError):
            os.kill(worker.metadata.pid, signal.SIGKILL)
    ray.kill(worker.actor)
