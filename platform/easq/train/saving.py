"""Checkpoints of a run: taken down between two windows, put on the disk beside the training.

Waiting for the disk takes seconds where tables are large, and answers would wait with it.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from easq.train.checkpoint import Position
from easq.train.collective import rank
from easq.train.durable import put_folder
from easq.train.latest import Latest, write_latest
from easq.train.learner import Learner
from easq.train.run_folder import Claim, check_claim


class Saving(NamedTuple):
    """A checkpoint that has not been told of."""

    path: Path
    position: Position
    put: Future[None] | None  # of rank 0, which writes


class Saver:
    """One checkpoint at a time. All workers call all verbs alike; rank 0 writes.

    Args:
        report: is told of each checkpoint once it is on the disk, on every worker.
    """

    def __init__(self, own: Claim, folder: Path, report: Callable[[Path, Position], None]) -> None:
        self.own, self.folder, self.report = own, folder, report
        self._disk = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Saving | None = None

    @property
    def is_put(self) -> bool:
        """Whether this worker knows that the checkpoint under way is on the disk."""
        put = self._saving and self._saving.put
        return put is not None and put.done()

    def begin(self, learner: Learner) -> None:
        """Write the learner's state; when this returns, the learner may go on."""
        self.finish()
        path = self.folder / f"window-{learner.next_window:06d}"
        building = path.with_name(f".{path.name}.building")
        if rank() == 0:
            check_claim(self.folder, self.own)
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
        learner.save(building)
        at = latest(path, learner.position)
        put = self._disk.submit(self._put, building, path, at) if rank() == 0 else None
        self._saving = Saving(path, learner.position, put)

    def finish(self) -> None:
        """Wait until the checkpoint under way, if any, is on the disk, and tell of it."""
        if (saving := self._saving) is None:
            return
        self._saving = None
        if saving.put is not None:
            saving.put.result()
        self.report(saving.path, saving.position)

    def _put(self, building: Path, path: Path, at: Latest) -> None:
        """The checkpoint's folder appears under its name when it is complete."""
        check_claim(self.folder, self.own)
        shutil.rmtree(path, ignore_errors=True)
        put_folder(building, path)
        write_latest(self.folder, at)


def latest(checkpoint: Path, position: Position) -> Latest:
    return Latest(checkpoint=checkpoint.name, window=position.next_window, step=position.step)
