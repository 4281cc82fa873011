"""From a full version along its deltas: which one comes next, and what it makes of the state.

A chain stands at a window and goes on to the window of a delta that begins at or before it. It
is never at a state whose digest is not the trainer's: digests are compared before anything is
written.

A trainer that starts again (a higher incarnation) goes back to its checkpoint and learns the
windows after it anew. As a rule it comes to the same weights, bit for bit; if not, what the
earlier start announced of those windows is void.
"""

from typing import NamedTuple

import torch

from easq.announcements import DeltaHead
from easq.delta import Delta, decode
from easq.state_digest import DigestChange, ServedWeights, StateDigest

REMEMBERED = 10_000
"""Windows whose digests a chain remembers, to know a full version that lies on its way."""


class GapError(ValueError):
    """A delta in between is missing."""


class MismatchError(ValueError):
    """The state would not be, or is not, what the trainer had there."""


class Place(NamedTuple):
    """How far a chain is."""

    window: int
    """The first window not yet learnt."""
    digest: str
    seq: int = -1
    """Offset of the newest delta in the state; -1: it is the full version."""
    learnt: dict[int, int] = {}  # noqa: RUF012  never changed


class Step(NamedTuple):
    """A delta that is known to lead to the trainer's state."""

    delta: Delta
    change: DigestChange
    place: Place


class Lineage:
    """From which window on each start of a run has learnt."""

    def __init__(self) -> None:
        self._began: dict[str, dict[int, int]] = {}

    def note(self, head: DeltaHead) -> None:
        began = self._began.setdefault(head.run, {})
        began[head.incarnation] = min(
            head.after_window, began.get(head.incarnation, head.after_window)
        )

    def newest(self, run: str | None) -> int:
        """The highest incarnation met."""
        return max(self._began.get(run or "", {}), default=0)

    def is_void(self, head: DeltaHead) -> bool:
        """Whether a later start of the trainer has learnt these windows anew."""
        return any(
            incarnation > head.incarnation and began < head.window
            for incarnation, began in self._began.get(head.run, {}).items()
        )


class Chain:
    """Weights that go from window to window. They are written in `take` and nowhere else."""

    def __init__(
        self,
        weights: ServedWeights,
        digest: StateDigest,
        window: int,
        schema_hash: str,
        run: str | None = None,
    ) -> None:
        """`weights` belong to the chain; `run` None: deltas of any run are tried."""
        self.weights, self._digest = weights, digest
        self.schema_hash, self.run = schema_hash, run
        self.place = Place(window, digest.digest)
        self._passed = {window: digest.digest}

    def step(
        self, seq: int, head: DeltaHead, payload: bytes | None, lineage: Lineage
    ) -> Step | None:
        """What a delta would make of the state; None: it brings nothing new.

        Raises:
            GapError: it begins at a later window than the state stands at.
            MismatchError: its state would not be the trainer's.
            ValueError: it is damaged or does not fit.
        """
        if self.run not in (None, head.run) or lineage.is_void(head):
            return None
        if not is_next(self.place, head):
            return None
        delta = decode(head, payload, self.weights, self.schema_hash)
        change = self._digest.after(delta.dense, delta.rows)
        if change.digest != head.digest:
            raise MismatchError(
                f"with the delta up to window {head.window} the state has digest "
                f"{change.digest}; the trainer had {head.digest}"
            )
        return Step(delta, change, Place(head.window, head.digest, seq, head.learnt))

    @torch.no_grad()
    def take(self, step: Step) -> None:
        """Write a step into the weights."""
        for name, weight in step.delta.dense.items():
            self.weights.dense[name].copy_(weight)
        for width, (ids, values) in step.delta.rows.items():
            # By numpy, which takes half as long as torch; the loop waits for it.
            self.weights.rows[width].numpy()[ids.numpy()] = values.numpy()
        self._digest.take(step.change)
        self.place = step.place
        self._passed[step.place.window] = step.place.digest
        if len(self._passed) > REMEMBERED:
            del self._passed[next(iter(self._passed))]

    def has_passed(self, window: int, digest: str) -> bool:
        """Whether the state of a full version lies on the way that this chain has come."""
        return self._passed.get(window) == digest


def is_next(place: Place, head: DeltaHead) -> bool:
    """Whether a delta leads on from a place; False: it brings nothing new.

    Raises:
        GapError: a delta before it is missing.
        MismatchError: it ends at the same window, in another state.
    """
    if head.window == place.window and head.digest != place.digest:
        raise MismatchError(
            f"at window {head.window} the state has digest {place.digest}; "
            f"the trainer had {head.digest}"
        )
    if head.window <= place.window:
        return False
    if head.after_window > place.window:
        raise GapError(
            f"the state stands at window {place.window} and the next delta begins at "
            f"{head.after_window}: what lies between comes with the next full version"
        )
    return True
