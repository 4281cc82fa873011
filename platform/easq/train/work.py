"""A worker's part in a run: score a window, learn from it, sometimes write a checkpoint.

All workers see the same windows and decide alike, so that every one joins every collective.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from easq.announce import Announcer
from easq.history import History
from easq.log.connect import open_log
from easq.train.attempts import Attempts, give_up
from easq.train.ballot import ballot
from easq.train.behind import Reached, read_reached, write_reached
from easq.train.checkpoints import FEWEST, Checkpoints, forget_old, kept_windows, latest_of
from easq.train.collective import rank
from easq.train.config import TrainConfig
from easq.train.drain import drain_asked
from easq.train.durable import replace_file
from easq.train.histogram import score_histogram
from easq.train.kept_scores import keep_scores
from easq.train.latest import write_latest
from easq.train.learner import Learner, WindowScores
from easq.train.lines import thin
from easq.train.position import Position
from easq.train.published import Published
from easq.train.resume import UNTOLD, agreed, newest_sound
from easq.train.run_folder import (
    SCORES,
    WINDOWS,
    Claim,
    append_line,
    check_claim,
    forget_windows_from,
    run_folder,
)
from easq.train.share import WindowShare


class Work:
    """A learner, and what its run's folder gets of it.

    Args:
        report: is told of each checkpoint, on every worker.

    Raises:
        NoCheckpointError: the run has learnt before, and no checkpoint of it is sound. On all
            workers.
    """

    def __init__(
        self, own: Claim, device: torch.device, report: Callable[[Position], None]
    ) -> None:
        self.own, self.config, self.folder = own, own.config, run_folder(own.config)
        check_claim(self.folder, own)
        self.learner, self.published, checkpoint = _resumed(own, device)
        self.attempts = Attempts(self.folder) if rank() == 0 else None
        self.announcer: Announcer | None = None
        self.checkpoints = Checkpoints(self.folder, own, report)
        self.saved = self.learner.next_window if checkpoint is not None else None
        self.reached = read_reached(self.folder).next_window if rank() == 0 else math.inf

    def learn_pass(self, arriving: Iterator[WindowShare | None]) -> bool:
        """Learn shares until they end, or the run is to be drained; returns which."""
        since = time.perf_counter()
        for share, draining in _in_turn(arriving, self.learner, self.folder):
            arrived = time.perf_counter()
            self.checkpoints.check()
            votes = ballot(draining, self._is_hopeless(share), self.learner.device)
            if votes.drain or share is None:
                return True
            if votes.skip:
                give_up(self.folder, share, rank())
                self.learner.skip(share)
            elif share.num_requests:
                self._learn(share, since, arrived)
            else:
                self.learner.skip(share)
            self._tell_reached()
            if is_due(share, self.config):
                self._begin_checkpoint()
            since = time.perf_counter()
        self.checkpoints.settle()  # the next pass starts from it
        return False

    def _is_hopeless(self, share: WindowShare | None) -> bool:
        if share is None:
            return False
        failed = self.attempts is not None and self.attempts.exhausted(share.window)
        return failed or bool(share.refused)

    def _learn(self, share: WindowShare, since: float, arrived: float) -> None:
        if self.attempts is not None:
            self.attempts.begin(share.window)
        if self.announcer is None and share.of_log and rank() == 0:
            self.announcer = self._announcer()
        scores = self.published.of(self.learner).score(share)
        losses = self.learner.learn(share, scores.loss)
        self.published.follow(self.learner)
        if self.attempts is not None:
            self.attempts.learnt(share.window)
        if self.announcer is not None:
            served = self.published.of(self.learner)
            self.announcer.announce(served, served.position.offsets)
        record = _place(self.learner, share, since, arrived) | scores.metrics | losses
        if is_due(share, self.config):
            record["rows/collision_share"] = self.learner.collision_share()
        _write(scores, record, self.config)

    def _tell_reached(self) -> None:
        position = self.learner.position
        if position.next_window > self.reached:
            self.reached = position.next_window
            reached = Reached(next_window=self.reached, offsets=position.offsets)
            write_reached(self.folder, reached)

    def _announcer(self) -> Announcer:
        """From here on replicas are told what each window of the log changes."""
        assert self.config.stream is not None
        stream = self.config.stream
        log = open_log(stream.models or stream.log)
        served = self.published.of(self.learner)
        return Announcer(log, self.config.run.name, self.own.incarnation, served)

    def checkpoint(self) -> None:
        """A checkpoint of what has been learnt, unless it has one; returns once it is complete."""
        self._begin_checkpoint()
        self.checkpoints.settle()

    def _begin_checkpoint(self) -> None:
        if self.saved != self.learner.next_window:
            self.checkpoints.begin(self.published.contents(self.learner), self._trim)
            self.saved = self.learner.next_window

    def _trim(self) -> None:
        """Old checkpoints go; topic `models` keeps what leads on from those that are kept."""
        forget_old(self.folder, max(self.config.checkpoint.keep, FEWEST))
        if self.announcer is not None:
            self.announcer.forget(kept_windows(self.folder)[0])


def _in_turn(
    arriving: Iterator[WindowShare | None], learner: Learner, folder: Path
) -> Iterator[tuple[WindowShare | None, bool]]:
    """Where this worker has something to say: a window to learn, or that it is asked to stop.

    One that waits for a window says nothing: those that have it wait for its vote, and it comes
    with the window or with the wish to stop.
    """
    for share in arriving:
        draining = drain_asked(folder)
        if draining if share is None else share.window >= learner.next_window:
            yield share, draining


def _resumed(own: Claim, device: torch.device) -> tuple[Learner, Published, Path | None]:
    """A learner that stands where the newest sound checkpoint does; that is checked beside."""
    config, folder = own.config, run_folder(own.config)
    torch.set_num_threads(config.workers.threads)
    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(newest_sound, folder, own) if rank() == 0 else None
        learner = Learner(config, History.open(config.data.history).description.features, device)
        published = Published(learner)
        checkpoint = agreed(found.result() if found is not None else UNTOLD, folder, device)
    if checkpoint is not None:
        published.restore(checkpoint, learner)
        if rank() == 0:
            write_latest(folder, latest_of(learner.position, checkpoint))
    if rank() == 0:
        forget_windows_from(folder, learner.next_window)
    return learner, published, checkpoint


def _place(learner: Learner, share: WindowShare, since: float, arrived: float) -> dict[str, Any]:
    """Where in the stream a window is, and how long it took."""
    seconds = time.perf_counter() - since
    place = {
        "window": share.window,
        "num_windows": share.num_windows,
        "day": share.day,
        "step": learner.position.step,
        "requests": share.num_requests,
        "learnt_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": seconds,
        "seconds_waiting": arrived - since,
        "requests_per_second": share.num_requests / seconds,
    }
    return place | (
        {"lag_seconds": time.time() - share.sealed_at_ms / 1000} if share.of_log else {}
    )


def _write(scores: WindowScores, record: dict[str, Any], config: TrainConfig) -> None:
    """What the window brought, where whoever watches the run sees it."""
    folder = run_folder(config)
    if config.run.keep_scores:
        keep_scores(scores, record["window"], folder)
    if rank() == 0:
        replace_file(folder / SCORES, json.dumps(score_histogram(scores.main, scores.satisfaction)))
        append_line(folder / WINDOWS, record)
        thin(folder / WINDOWS)


def is_due(share: WindowShare, config: TrainConfig) -> bool:
    """Whether a checkpoint follows the window; the same after a restart as without one."""
    done = share.window + 1
    if config.stream is not None and share.of_log:
        return (done - share.num_windows) % config.stream.checkpoint_windows == 0
    return done % config.checkpoint.every_windows == 0 or done == share.num_windows
