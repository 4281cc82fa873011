"""What the joiner remembers of requests: everything while they are open, little afterwards."""

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from easq.events import BEHAVIOURS
from easq.log.interface import Rows

BIT = {name: 1 << i for i, name in enumerate(BEHAVIOURS)}


class Event(NamedTuple):
    """A row of topic `events`, as far as it matters here."""

    offset: int
    kind: str
    event_id: str
    received_at_ms: int
    expires_at_ms: int | None
    request_id: str | None
    impression_offset: int | None
    item_id: int | None
    watched_seconds: float | None
    behaviours: list[str] | None
    answer: int | None
    impression: bytes | None


def read_events(rows: Rows) -> Iterator[Event]:
    """Rows of easq.events.EVENT one by one."""
    columns = [rows.table.column(name).to_pylist() for name in Event._fields[1:]]
    return map(Event, rows.offsets.tolist(), *columns)


class Watched(NamedTuple):
    """What a viewer did with an item, so far."""

    seconds: float
    behaviours: int  # bits, in the order of BEHAVIOURS


class Request:
    """An impression and what came of it."""

    __slots__ = (
        "answers",
        "behaviour_ids",
        "forget_ms",
        "items",
        "offset",
        "payload",
        "request_id",
        "watermark_before_ms",
    )

    def __init__(self, event: Event, watermark_before_ms: int, forget_ms: int) -> None:
        self.offset, self.request_id, self.payload = event.offset, event.event_id, event.impression
        self.watermark_before_ms, self.forget_ms = watermark_before_ms, forget_ms
        self.items: dict[int, Watched] = {}
        self.behaviour_ids: set[str] = set()
        self.answers: dict[str, int] | None = None

    @property
    def is_open(self) -> bool:
        return self.payload is not None

    def watch(self, event: Event) -> None:
        """A behaviour, in any order: the longest watch and every action count."""
        assert event.item_id is not None
        self.behaviour_ids.add(event.event_id)
        bits = 0
        for name in event.behaviours or ():
            bits |= BIT.get(name, 0)
        old = self.items.get(event.item_id, Watched(0.0, 0))
        seconds = max(old.seconds, event.watched_seconds or 0.0)
        self.items[event.item_id] = Watched(seconds, old.behaviours | bits)

    def has_answer(self, event: Event) -> bool:
        """This event came before, or another answer about its item did."""
        answers = self.answers or {}
        return event.event_id in answers or event.item_id in answers.values()

    def answer(self, event: Event) -> None:
        assert event.item_id is not None
        self.answers = {**(self.answers or {}), event.event_id: event.item_id}

    def close(self) -> None:
        """Keep what a later answer needs: the place in the log, what was seen and answered."""
        self.payload, self.behaviour_ids = None, set()


class Requests:
    """Requests by the offset of their impression, oldest first.

    Always the newest ones of the log from some offset on, so that a joiner which reads again
    from there has the same ones.
    """

    def __init__(self) -> None:
        self.of: OrderedDict[int, Request] = OrderedDict()
        self._closing: list[tuple[int, int]] = []

    @property
    def num_open(self) -> int:
        return len(self._closing)

    @property
    def oldest(self) -> Request | None:
        return next(iter(self.of.values()), None)

    @property
    def next_close_ms(self) -> float:
        return self._closing[0][0] if self._closing else math.inf

    def add(self, request: Request, close_ms: int) -> None:
        self.of[request.offset] = request
        heapq.heappush(self._closing, (close_ms, request.offset))

    def pop_due(self) -> Request:
        """The request that closes first; the one of the lower offset among equals."""
        return self.of[heapq.heappop(self._closing)[1]]

    def forget(self, watermark_ms: int) -> None:
        """Let go of requests that no valid token speaks of, from the oldest on."""
        while (oldest := self.oldest) is not None and oldest.forget_ms <= watermark_ms:
            del self.of[oldest.offset]
