"""Simulated viewers before a real service: they ask, watch, press and answer (load of the loop).

With a rate the loop is open: requests go out on a schedule, whatever became of those before;
where no viewer was free in time they follow late, and none is left out. Without a rate each
viewer asks as soon as the last ranking is there.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from types import TracebackType
from typing import Self

from easq.ledger import Ledger, RankedLine
from easq.simulate.live import Audience, Hidden
from easq.simulate.shown import Shown
from jobs.viewer_client import OVERLOADED, Reply, ViewerClient
from jobs.viewer_events import PAUSE_SECONDS, Body, Closing, EventSender, now_ms
from jobs.viewer_statistics import Tally, ViewingStatistics
from jobs.viewing_plan import ViewingPlan


class Viewers:
    """A crowd in a thread of its own: `with Viewers(...) as viewers: viewers.wait()`.

    Args:
        url: of the service.
        ledger: takes every ranking and every accepted event.
        seen: is called with the request and the response of every ranking, in the thread.
    """

    def __init__(
        self,
        url: str,
        audience: Audience,
        plan: ViewingPlan,
        ledger: Ledger | None = None,
        seen: Callable[[Body, Body], None] = lambda request, response: None,
    ) -> None:
        self.audience, self.plan, self.ledger, self.seen = audience, plan, ledger, seen
        key = None if plan.api_key is None else plan.api_key.get_secret_value()
        self.client = ViewerClient(url, plan.timeout_seconds, key)
        self.tally = Tally(audience.config.world.satisfied_above, plan.bucket_seconds)
        self._thread = futures.ThreadPoolExecutor(1, "viewers")
        self._closing = Closing()
        self._sender = EventSender(self.client, plan, self.tally, self._closing, ledger)
        self._slots = 0
        self._asks = True

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._ended = self._thread.submit(self._live)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.shutdown()

    def statistics(self) -> ViewingStatistics:
        """So far; may be called at any time."""
        return self.tally.statistics()

    def ask_no_more(self) -> None:
        """Make no more requests; views that have begun are watched out, as at the plan's end."""
        self._asks = False

    def stop(self) -> None:
        """Ask no more, send no more views; what was sent is waited for, not sent again."""
        with suppress(RuntimeError):  # the loop has closed: they have gone
            self._loop.call_soon_threadsafe(self._closing.set)

    def wait(self, seconds: float | None = None) -> bool:
        """True once all have gone. Raises what ended them, if anything did."""
        gone, _ = futures.wait([self._ended], seconds)
        for ended in gone:
            ended.result()
        return bool(gone)

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._all_sessions())
        self.tally.finish()

    async def _all_sessions(self) -> None:
        self._began = self._loop.time()
        async with self.client, asyncio.TaskGroup() as views:
            async with asyncio.TaskGroup() as viewers:
                for _ in range(self.plan.viewers):
                    viewers.create_task(self._viewer(views))
            timer = self._loop.call_later(self.plan.patience_seconds, self._closing.set)
        timer.cancel()

    async def _viewer(self, views: asyncio.TaskGroup) -> None:
        while (slot := self._next_slot()) is not None:
            if await self._closing.within(slot - self._loop.time()):
                return
            self.tally.sent_late(self._loop.time() - slot)
            request, hidden = self.audience.request(now_ms() + self.plan.time_shift_ms)
            if not self.plan.feedback:
                del request["candidates"]["duration_seconds"]
            reply = await self.client.post("/v1/rank", request)
            if reply.status == 200:
                self._ranked(request, hidden, reply, views)
            else:
                self._not_ranked(reply.problem)
                await self._closing.within(PAUSE_SECONDS)

    def _next_slot(self) -> float | None:
        """When the next request is due, by the loop's clock; None: no more."""
        slot = self._loop.time()
        if self.plan.rate is not None:
            slot = self._began + self._slots / self.plan.rate
        self._slots += 1
        is_over = not self._asks or slot >= self._began + self.plan.seconds
        return None if is_over or self._closing.is_set() else slot

    def _not_ranked(self, problem: str) -> None:
        if problem == OVERLOADED:
            self.tally.count("refused")
        else:
            self.tally.failed(problem)

    def _ranked(
        self, request: Body, hidden: Hidden, reply: Reply, views: asyncio.TaskGroup
    ) -> None:
        response = reply.body
        model, ranking = response["model"], response["item_id"]
        shown = Shown(hidden.viewing.satisfaction, hidden.expected, hidden.of(ranking))
        seconds, seq = self._loop.time() - self._began, model.get("seq", -1)
        self.tally.ranked(seconds, reply.milliseconds, model["version"], seq, shown)
        self._note_ranked(hidden.request_id, model["version"], seq, reply.milliseconds)
        self.seen(request, response)
        token = response.get("token")
        if token is None:
            self.tally.count("without_token")
        elif self.plan.feedback:
            self.tally.count("questions", sum(response["asked"]))
            events = self.audience.view(hidden, ranking, response["asked"])
            views.create_task(self._sender.view(hidden.request_id, token, events))

    def _note_ranked(self, request_id: str, version: int, seq: int, milliseconds: float) -> None:
        if self.ledger is not None:
            about = {"version": version, "seq": seq, "milliseconds": milliseconds}
            self.ledger.write([RankedLine(request_id=request_id, at_seconds=time.time(), **about)])
