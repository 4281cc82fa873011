"""What simulated viewers do and answer, on its way to the service until that has it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from easq.ledger import AcceptedLine, Ledger
from easq.simulate.live import ViewerEvent
from jobs.viewer_client import PASSING, ViewerClient
from jobs.viewer_statistics import Tally
from jobs.viewing_plan import ViewingPlan

PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 2.0
TOGETHER_SECONDS = 0.25
"""Events so close to each other go out in one batch."""

Body = dict[str, Any]


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


class Closing:
    """Set once, when the viewers are to go; of one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    async def within(self, seconds: float) -> bool:
        """Sleep; True as soon as the viewers are to go."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), max(seconds, 0.0))
        return self._event.is_set()


class EventSender:
    """The events of all viewers; accepted ones go to the ledger."""

    def __init__(
        self,
        client: ViewerClient,
        plan: ViewingPlan,
        tally: Tally,
        closing: Closing,
        ledger: Ledger | None,
    ) -> None:
        self.client, self.plan, self.tally = client, plan, tally
        self.closing, self.ledger = closing, ledger

    async def view(self, request_id: str, token: str, events: list[ViewerEvent]) -> None:
        """Send a view's events, each when the viewer has come to it, and wait until all are in."""
        loop = asyncio.get_running_loop()
        came = loop.time()
        for batch in batches(events, self.plan.speed):
            if await self.closing.within(came + batch.due_seconds - loop.time()):
                return
            about = {"token": token, "client_time_ms": now_ms()}
            self.tally.count("answers", sum(e["kind"] == "answer" for e in batch.events))
            await self._deliver(request_id, [event | about for event in batch.events])

    async def _deliver(self, request_id: str, events: list[Body]) -> None:
        """Send a batch until the service has answered it."""
        loop, pause = asyncio.get_running_loop(), PAUSE_SECONDS
        give_up = loop.time() + self.plan.patience_seconds
        reply = await self.client.post("/v1/events", {"events": events})
        while reply.status in PASSING:
            if loop.time() > give_up or await self.closing.within(pause):
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


def now_ms() -> int:
    return time.time_ns() // 1_000_000
