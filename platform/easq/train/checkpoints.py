"""Checkpoints of a run's folder, written beside the steps.

Steps wait for a copy in memory, not for the disk. At most one checkpoint is being written; it
is reported when the next one is due, or at the end of a pass: after as many windows on every
worker, for a report waits until all workers have made it.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from easq.train.checkpoint import Contents, copied, write_checkpoint
from easq.train.collective import rank
from easq.train.durable import put_folder
from easq.train.latest import Latest, write_latest
from easq.train.position import Position
from easq.train.run_folder import Claim, check_claim

CHECKPOINT, DAMAGED = "window-", "damaged-window-"
FEWEST = 2
"""Checkpoints that are kept, whatever a configuration says."""


class _Begun(NamedTuple):
    path: Path
    position: Position
    writing: Future[None] | None  # rank 0's


class Checkpoints:
    """Every worker of a start has one; rank 0 writes.

    Args:
        report: is told of each checkpoint once it is complete, on every worker.
    """

    def __init__(self, folder: Path, own: Claim, report: Callable[[Position], None]) -> None:
        self.folder, self.own, self.report = folder, own, report
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._buffers: Contents | None = None
        self._begun: _Begun | None = None

    def begin(self, contents: Contents, afterwards: Callable[[], None] = lambda: None) -> None:
        """Write what has been learnt until now. All workers call it.

        Args:
            afterwards: follows in the writer's thread.
        """
        self.settle()
        path = checkpoint_path(self.folder, contents.position.next_window)
        writing = None
        if rank() == 0:
            self._buffers = copied(contents, self._buffers)
            writing = self._writer.submit(self._write, path, self._buffers, afterwards)
        self._begun = _Begun(path, contents.position, writing)

    def settle(self) -> None:
        """Wait until the checkpoint under way is complete, and report it. All workers call it."""
        if (begun := self._begun) is not None:
            if begun.writing is not None:
                begun.writing.result()
            self._begun = None
            self.report(begun.position)

    def check(self) -> None:
        """Raise what ended the writing."""
        if self._begun and self._begun.writing and self._begun.writing.done():
            self._begun.writing.result()

    def _write(self, path: Path, contents: Contents, afterwards: Callable[[], None]) -> None:
        """The folder appears under its name when it is complete."""
        building = path.with_name(f".{path.name}.building")
        check_claim(self.folder, self.own)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        write_checkpoint(building, contents)
        check_claim(self.folder, self.own)
        shutil.rmtree(path, ignore_errors=True)
        put_folder(building, path)
        write_latest(self.folder, latest_of(contents.position, path))
        afterwards()


def checkpoint_path(folder: Path, window: int, kind: str = CHECKPOINT) -> Path:
    return folder / f"{kind}{window:06d}"


def latest_of(position: Position, checkpoint: Path) -> Latest:
    return Latest(checkpoint=checkpoint.name, window=position.next_window, step=position.step)


def kept_windows(folder: Path, kind: str = CHECKPOINT) -> list[int]:
    """`next_window` of each checkpoint, oldest first; DAMAGED: of those that were put aside."""
    found = (path.name.removeprefix(kind) for path in folder.glob(f"{kind}*"))
    return sorted(int(number) for number in found if number.isdigit())


def forget_old(folder: Path, keep: int) -> None:
    """Drop all but the newest checkpoints, and those put aside that are older than these."""
    oldest = kept_windows(folder)[-keep:][0]
    for kind in (CHECKPOINT, DAMAGED):
        for window in kept_windows(folder, kind):
            if window < oldest:
                shutil.rmtree(checkpoint_path(folder, window, kind), ignore_errors=True)
