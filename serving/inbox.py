"""Events come in: each is checked, what is accepted is durable, what is rejected is kept to see."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
import pyarrow as pa

from easq.events import EVENT, REJECTION
from easq.log.interface import EVENTS, REJECTED, LogError, LogFullError
from serving.config import ServingSettings
from serving.event_check import Accepted, BatchCheck, RejectedError
from serving.event_contract import MAX_ID, EventResult, EventsResponse
from serving.event_rate import EventRate
from serving.log_writer import LogWriter
from serving.refusal import RefusedError

PATIENCE_SECONDS = 10.0
"""Events wait so long for the log; after that the client is told to send them again."""
MAX_EVENTS = 512
MAX_PAYLOAD = 2000
"""Characters of a rejected event that are kept."""
ANYONE = 0

Checked = Accepted | RejectedError


class Inbox:
    """POST /v1/events of one replica."""

    def __init__(
        self, writer: LogWriter, key: Callable[[], bytes], settings: ServingSettings
    ) -> None:
        """`key` is asked for each batch; it raises LogError while the log is not known yet."""
        self.writer, self.key, self.settings = writer, key, settings
        self.rate = EventRate(settings.events_per_minute)
        self.rejections = EventRate(settings.rejections_per_minute)
        self.accepted = self.clock_skewed = self.batches_refused = 0
        self._no_room = self._not_kept = 0  # the loop counts the one, the writer's thread the other
        self.rejected: Counter[str] = Counter()

    @property
    def dead_letters_lost(self) -> int:
        return self._no_room + self._not_kept

    async def receive(self, events: list[Any], time_ms: int) -> EventsResponse:
        """Results in order, once everything accepted is durable.

        Raises:
            RefusedError: too many events, or the log takes none. The same batch may come again.
        """
        _check_count(events)
        try:
            key = self.key()
        except LogError as error:
            self.batches_refused += 1
            raise _refusal(error) from error
        check = BatchCheck(key, self.rate, self.settings, time_ms)
        checked = [_checked(check, event) for event in events]
        await self._append([c for c in checked if isinstance(c, Accepted)])
        self._keep_rejected(events, checked, time_ms)
        self._count(checked)
        results = [_result(*pair) for pair in zip(events, checked, strict=True)]
        return EventsResponse(results=results)

    async def _append(self, accepted: list[Accepted]) -> None:
        """One append a partition. Where one fails, the others may stay: events count once."""
        rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for one in accepted:
            rows[one.partition].append(one.row)
        appends = [
            self.writer.append(
                EVENTS, partition, pa.Table.from_pylist(own, EVENT), True, PATIENCE_SECONDS
            )
            for partition, own in rows.items()
        ]
        ended = await asyncio.gather(*appends, return_exceptions=True)
        for error in ended:
            if isinstance(error, LogError):
                self.batches_refused += 1
                for one in accepted:
                    self.rate.give_back(one.row["user_id"], one.row["received_at_ms"])
                raise _refusal(error) from error
            if isinstance(error, BaseException):
                raise error

    def _keep_rejected(self, events: list[Any], checked: list[Checked], time_ms: int) -> None:
        """Into the dead-letter table, as far as there is room; nobody waits for it."""
        rows = [
            _dead_letter(event, error, time_ms)
            for event, error in zip(events, checked, strict=True)
            if isinstance(error, RejectedError)
        ]
        kept = [row for row in rows if self.rejections.takes(ANYONE, time_ms)]
        self._no_room += len(rows) - len(kept)
        if not kept:
            return
        table = pa.Table.from_pylist(kept, REJECTION)
        try:
            future = self.writer.submit(REJECTED, 0, table, durable=False)
        except LogError:
            self._no_room += len(kept)
        else:
            future.add_done_callback(lambda done: self._note_kept(done, len(kept)))

    def _note_kept(self, done: "Future[np.ndarray]", rows: int) -> None:
        """In the writer's thread."""
        if done.exception() is not None:
            self._not_kept += rows

    def _count(self, checked: list[Checked]) -> None:
        for one in checked:
            if isinstance(one, RejectedError):
                self.rejected[one.code] += 1
            else:
                self.accepted += 1
                self.clock_skewed += one.clock_skewed


def _check_count(events: list[Any]) -> None:
    if len(events) > MAX_EVENTS:
        raise RefusedError(
            "too_many_events",
            f"{len(events)} events came and at most {MAX_EVENTS} are taken at once: "
            "send them in several batches.",
            "events",
        )


def _checked(check: BatchCheck, event: Any) -> Checked:
    try:
        return check.check(event)
    except RejectedError as error:
        return error


def _refusal(error: LogError) -> RefusedError:
    """The log's errors in HTTP's words."""
    if isinstance(error, LogFullError):
        return RefusedError(
            "log_full",
            f"No event of this batch is taken, there is no room: {error}. Free space for the "
            "log, then send the batch again.",
        )
    return RefusedError(
        "log_away",
        f"No event of this batch is promised to be kept: {error}. Send the batch again later, "
        "with the same event ids.",
    )


def _result(event: Any, checked: Checked) -> EventResult:
    event_id = _event_id(event)
    if isinstance(checked, Accepted):
        return EventResult(event_id=event_id, status="accepted", clock_skewed=checked.clock_skewed)
    return EventResult(
        event_id=event_id,
        status="rejected",
        code=checked.code,
        message=checked.message,
        field=checked.field,
    )


def _dead_letter(event: Any, error: RejectedError, time_ms: int) -> dict[str, Any]:
    return {
        "received_at_ms": time_ms,
        "code": error.code,
        "message": error.message,
        "event_id": _event_id(event),
        "user_id": error.user_id,
        "payload": json.dumps(event)[:MAX_PAYLOAD],
    }


def _event_id(event: Any) -> str | None:
    """Of an event that may be anything."""
    found = event.get("event_id") if isinstance(event, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= MAX_ID else None
