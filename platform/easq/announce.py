"""The trainer's side of the fast lane: after each window, what changed goes to topic `models`.

Training never waits for a log that is away: what could not be announced goes with the next
window.
"""

import logging
import time

import torch
from torch import Tensor

from easq.announcements import DeltaHead
from easq.delta import Delta, check_finite, encode, touched_rows
from easq.log.interface import MODELS, Log, LogError
from easq.retention import forget_deltas
from easq.state_digest import ServedWeights, StateDigest
from easq.train.checkpoint import weights_of
from easq.train.learner import Learner

log = logging.getLogger(__name__)

MAX_NORM = 1e3
"""Of an embedding row or a dense weight's root mean square; rows begin at a norm below 1."""


class Announcer:
    """Of rank 0 of one start of a run. Deltas begin where the learner stands when it is made."""

    def __init__(self, to: Log, run: str, incarnation: int, learner: Learner) -> None:
        """Hash the whole state once; what the learner has touched before is not announced."""
        self.log, self.run, self.incarnation = to, run, incarnation
        self.after_window = learner.next_window
        self.digest = StateDigest(ServedWeights.of(weights_of(learner.state)))
        self.troubled = False
        _forget_touched(learner)

    def announce(self, learner: Learner, learnt: dict[int, int]) -> int | None:
        """Append all that changed since the last delta; returns its offset.

        None: the log is away, or the weights must not be served. The rows stay marked, and the
        next delta has them too.

        Args:
            learnt: of each partition of topic `samples`, offsets below it have been learnt.
        """
        delta = self._delta(learner, learnt)
        try:
            _check_sane(delta)
            offsets = self.log.append(
                MODELS, 0, encode(delta, time.time_ns() // 1_000_000), durable=False
            )
        except (LogError, ValueError) as error:
            self._warn_once(error)
            return None
        self._tell_recovery()
        self.after_window = delta.head.window
        _forget_touched(learner)
        return int(offsets[0])

    def forget(self, window: int) -> None:
        """Trim what no replica needs; the log may be away, then later.

        Args:
            window: `next_window` of the oldest checkpoint that is kept.
        """
        try:
            forget_deltas(self.log, self.run, window, time.time_ns() // 1_000_000)
        except LogError as error:
            log.warning("topic models is trimmed at the next checkpoint: %s", error)

    def _delta(self, learner: Learner, learnt: dict[int, int]) -> Delta:
        served = ServedWeights.of(weights_of(learner.state))
        dense = {n: t.detach().to("cpu", torch.float32) for n, t in served.dense.items()}
        rows = {w: touched_rows(t, learner.touched[w]) for w, t in served.rows.items()}
        change = self.digest.after(dense, rows)
        self.digest.take(change)
        head = DeltaHead(
            run=self.run,
            incarnation=self.incarnation,
            after_window=self.after_window,
            window=learner.next_window,
            learnt=learnt,
            schema_hash=learner.spec.schema_hash,
            digest=change.digest,
            payload_sha256="",
        )
        return Delta(head, dense, rows)

    def _warn_once(self, error: Exception) -> None:
        if not self.troubled:
            log.warning("window by window is announced later, all at once: %s", error)
        self.troubled = True

    def _tell_recovery(self) -> None:
        if self.troubled:
            log.warning("deltas are announced again")
        self.troubled = False


def _check_sane(delta: Delta) -> None:
    """Refuse weights that no training in good order comes to (ValueError)."""
    check_finite(delta)
    rows = {f"rows.{w}": _largest(values) for w, (_, values) in delta.rows.items()}
    dense = {
        n: t.square().mean().sqrt().item() if t.numel() else 0.0 for n, t in delta.dense.items()
    }
    for name, norm in (rows | dense).items():
        if norm > MAX_NORM:
            raise ValueError(
                f"{name} has norm {norm:.3g} at window {delta.head.window}, and at most "
                f"{MAX_NORM:g} is served: lower the learning rate, or look at its samples"
            )


def _largest(rows: Tensor) -> float:
    return rows.norm(dim=1).max().item() if len(rows) else 0.0


def _forget_touched(learner: Learner) -> None:
    for touched in learner.touched.values():
        touched.zero_()
