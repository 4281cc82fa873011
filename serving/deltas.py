"""Follow the deltas of topic `models`: read and check in a thread, write in the event loop.

Forward passes run in the event loop too, so that none sees half a delta. What cannot be applied
is reported and leaves the state as it is, which is always one that the trainer had.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from easq.delta_chain import Chain, MismatchError, Step
from easq.log.interface import Log, LogError
from easq.state_digest import ServedWeights, StateDigest
from serving.announced import Announced, AnnouncedDeltas
from serving.contract import DeltaReport
from serving.live import Live, OnAir

log = logging.getLogger("ray.serve")

WAIT_SECONDS = 0.5
"""How often a thread that waits for the loop looks whether it is to stop."""


class DeltaFollower:
    """Keeps what is on air up with the trainer.

    A full version that lies on the way that the live state has come gives it its name, and
    nothing else changes. Any other is brought to the end of the log beside the live state before
    it goes on air; it does so even if deltas are missing, for it is what the gate decided for.
    """

    def __init__(
        self,
        models: Log,
        in_loop: Callable[[Callable[[], None]], object],
        stopped: Callable[[], str | None] = lambda: None,
        poll_seconds: float = 0.02,
    ) -> None:
        """What the follower needs of its surroundings.

        Args:
            in_loop: runs a function where forward passes run: `loop.call_soon_threadsafe`.
            stopped: why the newest rollout lets no deltas be applied, after a rollback or a block.
        """
        self.in_loop, self.stopped, self.poll_seconds = in_loop, stopped, poll_seconds
        self.on_air = OnAir()
        self.report = DeltaReport()
        self._deltas = AnnouncedDeltas(models)
        self._away = False
        self._rebuilt_for: tuple[int, int] | None = None
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._run, name="deltas", daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  whatever ails the lane, the replica serves on
                self._tell(f"{type(error).__name__}: {error}")
            self._stop.wait(self.poll_seconds)

    def look(self) -> None:
        """Apply what the log holds by now. Never from the event loop, which it waits for."""
        with self._turn:
            live = self.on_air.live
            if live is None or live.chain is None:
                return
            error = self._follow(live.chain, self._write_in_loop)
            if isinstance(error, MismatchError):
                self._rebuild(live)

    def adopt(self, full: Live) -> None:
        """Put another full version on air, with the deltas that lead on from it.

        Takes as long as copying its rows and applying those deltas; the live state serves on.
        """
        with self._turn:
            why = self.stopped() or self._going_back(full)
            self._tell(None, following=why is None, stopped=why)
            if why is not None:
                self.on_air.put(full.as_published())  # deltas wait for the next version
                return
            self.on_air.put(self._renamed(full) or self._caught_up(full))

    def obey(self) -> None:
        """Leave the deltas of the live version, or take them up again, as rollouts say."""
        live = self.on_air.live
        if live is not None and self.stopped() != self.report.stopped:
            self.adopt(live.as_published())

    def _going_back(self, full: Live) -> str | None:
        known = [one.version.version for one in (self.on_air.live, self.on_air.previous) if one]
        if full.version.version >= (newest := max(known, default=-1)):
            return None
        return f"version {full.version.version} is older than {newest}, which was served before"

    def _renamed(self, full: Live) -> Live | None:
        """The live state under the name of a version that it has passed; None: it has not."""
        live, file = self.on_air.live, full.published.file
        if live is None or live.chain is None or live.chain.run != file.run:
            return None
        digest = StateDigest(ServedWeights.of(full.published.weights())).digest
        if not live.chain.has_passed(file.position.next_window, digest):
            return None
        return full.with_deltas(live.ranker, live.chain)

    def _caught_up(self, full: Live) -> Live:
        """A copy of a full version, taken to the end of the log as far as deltas lead on."""
        live, error = self._after_deltas(full)
        if isinstance(error, MismatchError):
            for _ in self._deltas.read():  # so that it is known what a later start made void
                pass
            live, _ = self._after_deltas(full)
        return live

    def _after_deltas(self, full: Live) -> tuple[Live, Exception | None]:
        ranker, file = full.published.copy(), full.published.file
        weights = ServedWeights.of(ranker.weights())
        window, schema_hash = file.position.next_window, file.features.schema_hash
        chain = Chain(weights, StateDigest(weights), window, schema_hash, file.run)
        self._deltas.seek(chain.run, window)
        error = self._follow(chain, chain.take)
        return full.with_deltas(ranker, chain), error

    def _rebuild(self, live: Live) -> None:
        """Go from the full version again: the trainer may have started anew, off our way.

        Once for each start, as the same deltas would lead to the same place.
        """
        assert live.chain is not None
        key = (live.version.version, self._deltas.lineage.newest(live.chain.run))
        if key == self._rebuilt_for:
            return
        self._rebuilt_for = key
        rebuilt = self._caught_up(live)
        assert rebuilt.chain is not None
        if rebuilt.chain.place.window >= live.chain.place.window:
            self.on_air.put(rebuilt)

    def _follow(self, chain: Chain, take: Callable[[Step], None]) -> Exception | None:
        """Apply deltas to the end of the log, or to the first that leads elsewhere."""
        try:
            for announced in self._deltas.read():
                if (step := self._step(chain, announced)) is not None:
                    take(step)
                    self._tell(None, applied=self.report.applied + 1)
        except MismatchError as error:
            self._tell(str(error), refused=self.report.refused + 1)
            return error
        except (LogError, pa.ArrowInvalid) as error:
            self._away = True
            self._tell(f"the log of deltas cannot be read: {error}")
            return error
        if self._away:
            self._away = False
            self._tell(None)
        return None

    def _step(self, chain: Chain, announced: Announced) -> Step | None:
        """What to apply. A delta that is damaged or out of place is counted, no more."""
        try:
            if isinstance(announced.head, ValueError):
                raise announced.head
            return chain.step(
                announced.seq, announced.head, announced.payload, self._deltas.lineage
            )
        except MismatchError:
            raise
        except ValueError as error:
            self._tell(str(error), refused=self.report.refused + 1)
            return None

    def _write_in_loop(self, step: Step) -> None:
        written = threading.Event()

        def write() -> None:
            live = self.on_air.live
            assert live is not None
            assert live.chain is not None
            live.chain.take(step)
            self.on_air.live = live.at(step.place.seq)
            written.set()

        self.in_loop(write)
        while not written.wait(WAIT_SECONDS) and not self._stop.is_set():
            pass

    def _tell(self, problem: str | None, **counts: Any) -> None:
        if problem is not None and self.report.problem is None:
            log.warning("deltas are not applied: %s", problem)
        elif problem is None and self.report.problem is not None:
            log.info("deltas are applied again")
        self.report = self.report.model_copy(update=counts | {"problem": problem})
