"""Windows that fail again and again, or were never for this run, are given up.

So one bad window cannot stop a run.

A window is in work from just before it is scored until it is learnt. Whatever ends the workers
in between counts against it: an error of its own, and a kill that it has no part in.
"""

import logging
from itertools import accumulate
from pathlib import Path

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from easq.train.durable import read_model, swap_file
from easq.train.lines import Lines, thin
from easq.train.run_folder import QUARANTINE, append_line
from easq.train.share import WindowShare

log = logging.getLogger(__name__)

ATTEMPTS = "attempts.json"
MOST = 3
MOST_FILES, MOST_BYTES = 256, 1 << 30
"""Of the rows of windows that were given up."""
MOST_BYTES_OF_LINES = 8 << 20


class Tried(BaseModel):
    """Contents of attempts.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_work: int | None = None
    failures: dict[int, int] = {}


class Attempts:
    """Of one run; only rank 0 has it. It outlives the death of processes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ATTEMPTS
        self.tried = _read(self.path)
        if (window := self.tried.in_work) is not None:
            failed = self.tried.failures.get(window, 0) + 1
            self._put(Tried(failures=self.tried.failures | {window: failed}))

    def exhausted(self, window: int) -> bool:
        """Whether the window has failed so often that it is left out."""
        return self.tried.failures.get(window, 0) >= MOST

    def begin(self, window: int) -> None:
        self._put(self.tried.model_copy(update={"in_work": window}))

    def learnt(self, window: int) -> None:
        failures = {w: n for w, n in self.tried.failures.items() if w != window}
        self._put(Tried(failures=failures))

    def _put(self, tried: Tried) -> None:
        """Whole, but not forced to the disk: a power cut forgets a count, and nothing else."""
        swap_file(self.path, tried.model_dump_json())
        self.tried = tried


def _read(path: Path) -> Tried:
    """Counts that a power cut damaged begin anew."""
    try:
        return read_model(path, Tried) if path.is_file() else Tried()
    except ValueError as error:
        log.warning("%s", error)
        return Tried()


def give_up(folder: Path, share: WindowShare, rank: int) -> None:
    """Keep a rank's rows of a window that is left out; rank 0 reports it, once."""
    kept = folder / "quarantine" / f"window-{share.window:06d}-rank-{rank}.parquet"
    kept.parent.mkdir(exist_ok=True)
    pq.write_table(share.rows, kept)
    lines = Lines(folder / QUARANTINE).new()
    if rank != 0 or share.window in {line["window"] for line in lines}:
        return
    reason = share.refused or f"it failed {MOST} times"
    log.warning("window %d is left out: %s", share.window, reason)
    removed = lines[-1].get("removed", 0) if lines else 0
    append_line(
        folder / QUARANTINE,
        {
            "window": share.window,
            "attempts": 0 if share.refused else MOST,
            "reason": reason,
            "requests": share.num_requests,
            "offsets": dict(share.offsets),
            "rows": kept.parent.name,
            "removed": removed + remove_oldest(kept.parent),
        },
    )
    thin(folder / QUARANTINE, MOST_BYTES_OF_LINES)


def remove_oldest(quarantine: Path) -> int:
    """Keep the newest files, at least one; returns how many others there were."""
    stats = sorted((path.stat().st_mtime_ns, path) for path in quarantine.iterdir())[::-1]
    newest = [path for _, path in stats]
    totals = accumulate(path.stat().st_size for path in newest)
    places = enumerate(zip(newest, totals, strict=True))
    old = [path for n, (path, total) in places if n and (n >= MOST_FILES or total > MOST_BYTES)]
    for path in old:
        path.unlink(missing_ok=True)
    if old:
        log.warning(
            "%d files of the oldest windows left out are removed from %s, which keeps %d files and "
            "%d MB at most",
            *(len(old), quarantine, MOST_FILES, MOST_BYTES >> 20),
        )
    return len(old)
