"""Simulated viewers before a real service: they ask, watch, press and answer (load of the loop).

With a rate the loop is open: requests go out on a schedule, whatever became of those before;
where no viewer was free in time they follow late, and none is left out. Without a rate each
viewer asks as soon as the last ranking is there.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from easq.ledger import AcceptedLine, Ledger, RankedLine
from easq.simulate.live import Audience, Hidden, ViewerEvent
from easq.simulate.shown import Shown
from jobs.viewer_client import OVERLOADED, PASSING, Reply, ViewerClient
from jobs.viewer_statistics import Tally, ViewingStatistics

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 2.0
TOGETHER_SECONDS = 0.25
"""Events so close to each other go out in one batch."""

Body = dict[str, Any]


class ViewingPlan(BaseModel):
    """How many viewers come, for how long, and how fast they live."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(gt=0)
    """How long requests are made; views that have begun are watched out."""
    rate: float | None = Field(default=20.0, gt=0)
    """Requests a second of all viewers; None: as many as they can."""
    viewers: int = Field(default=16, ge=1)
    """Requests under way at once, at most."""
    speed: float = Field(default=1000.0, gt=0)
    """Seconds watched in a second; the service must allow as much (EASQ_VIEWING_SPEED)."""
    time_shift_ms: int = 0
    """Added to the clock, for request times."""
    feedback: bool = True
    """Send events; without, only rankings are asked for."""
    timeout_seconds: float = Field(default=10.0, gt=0)
    patience_seconds: float = Field(default=60.0, gt=0)
    """How long an event is sent again until it is accepted, and views are watched out."""
    bucket_seconds: float = Field(default=5.0, gt=0)
    api_key: SecretStr | None = None


class Batch(NamedTuple):
    due_seconds: float  # after the ranking came
    events: list[Body]


def batches(events: list[ViewerEvent], speed: float) -> Iterator[Batch]:
    """Events in time order, those close together at the time of the last of them."""
    together: list[ViewerEvent] = []
    for event in events:
        if together and event.after_seconds - together[0].after_seconds > TOGETHER_SECONDS * speed:
            yield Batch(together[-1].after_seconds / speed, [e.body for e in together])
            together = []
        together.append(event)
    if together:
        yield Batch(together[-1].after_seconds / speed, [e.body for e in together])


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
        self._closing = asyncio.Event()
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
            if await self._closes_within(slot - self._loop.time()):
                return
            self.tally.sent_late(self._loop.time() - slot)
            request, hidden = self.audience.request(_now_ms() + self.plan.time_shift_ms)
            if not self.plan.feedback:
                del request["candidates"]["duration_seconds"]
            reply = await self.client.post("/v1/rank", request)
            if reply.status == 200:
                self._ranked(request, hidden, reply, views)
            else:
                self._not_ranked(reply.problem)
                await self._closes_within(PAUSE_SECONDS)

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
            views.create_task(self._view(hidden.request_id, token, events))

    async def _view(self, request_id: str, token: str, events: list[ViewerEvent]) -> None:
        came = self._loop.time()
        for batch in batches(events, self.plan.speed):
            if await self._closes_within(came + batch.due_seconds - self._loop.time()):
                return
            about = {"token": token, "client_time_ms": _now_ms()}
            self.tally.count("answers", sum(e["kind"] == "answer" for e in batch.events))
            await self._deliver(request_id, [event | about for event in batch.events])

    async def _deliver(self, request_id: str, events: list[Body]) -> None:
        """Send a batch until the service has answered it."""
        pause, give_up = PAUSE_SECONDS, self._loop.time() + self.plan.patience_seconds
        reply = await self.client.post("/v1/events", {"events": events})
        while reply.status in PASSING:
            if self._loop.time() > give_up or await self._closes_within(pause):
                self.tally.count("unconfirmed", len(events))
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            self.tally.count("retries")
            reply = await self.client.post("/v1/events", {"events": events})
        refused = {"status": "rejected", "code": reply.problem}
        results = reply.body.get("results", [refused] * len(events))
        self._told(request_id, events, results)

    def _told(self, request_id: str, events: list[Body], results: list[Body]) -> None:
        now, lines = time.time(), []
        for event, result in zip(events, results, strict=True):
            if result["status"] != "accepted":
                self.tally.rejected(result["code"])
                continue
            self.tally.accepted(event["kind"])
            about = {"event_id": event["event_id"], "event": event["kind"]}
            lines.append(AcceptedLine(request_id=request_id, at_seconds=now, **about))
        if self.ledger is not None:
            self.ledger.write(lines)

    def _note_ranked(self, request_id: str, version: int, seq: int, milliseconds: float) -> None:
        if self.ledger is not None:
            about = {"version": version, "seq": seq, "milliseconds": milliseconds}
            self.ledger.write([RankedLine(request_id=request_id, at_seconds=time.time(), **about)])

    async def _closes_within(self, seconds: float) -> bool:
        """Sleep; True as soon as the viewers are to go."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), max(seconds, 0.0))
        return self._closing.is_set()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
