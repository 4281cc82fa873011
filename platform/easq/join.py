"""The joiner: events in, sealed windows of samples out (design: the join).

A function of the events alone: no clock, no randomness. A behaviour sample is made once, when
its request's feedback window closes; an answer sample at once. Time is the latest that events
have said (the watermark); what falls due on the way there falls due in order.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from easq.events import ANSWER, BEHAVIOUR, IMPRESSION, Answer
from easq.join_rows import Given, Row, is_impression, schema_bytes
from easq.join_state import Event, Request, Requests, Watched, read_events
from easq.log.interface import Rows
from easq.log.ipc import from_bytes
from easq.questionnaire import is_eligible
from easq.samples import ANSWER_SAMPLE, BEHAVIOUR_SAMPLE
from easq.sealing import Place, SealConfig, Sealer, Written

ANSWERS = frozenset(Answer) - {Answer.NONE}
ON_THE_WAY_SECONDS = 60.0
"""A request is kept so much longer than its token, for feedback accepted at the last moment."""


class JoinConfig(SealConfig):
    """How feedback becomes samples. Change it only where no restart looks back over the change."""

    feedback_seconds: float = Field(default=30.0, gt=0)
    """How long behaviour of a request is waited for, from its impression on."""
    token_seconds: float = Field(default=3600.0, gt=0)
    """So long a request may be answered, and longer where its token lives longer. The state grows
    with it."""

    @model_validator(mode="after")
    def _check(self) -> "JoinConfig":
        if self.token_seconds < self.feedback_seconds:
            raise ValueError(
                f"token_seconds ({self.token_seconds}) must be at least feedback_seconds "
                f"({self.feedback_seconds}): feedback needs a valid token"
            )
        return self


class Joiner:
    """Turns the events of a partition into its samples.

    Args:
        impression_at: reads the impression at an offset of the partition, for answers after
            the feedback window; None: it is gone.
        several: the log has several partitions.
        written: what a joiner before this one wrote last. Feed from its `resume_offset` on.
    """

    def __init__(
        self,
        config: JoinConfig,
        impression_at: Callable[[int], bytes | None],
        several: bool = False,
        written: Written | None = None,
    ) -> None:
        self.config, self.impression_at = config, impression_at
        self.watermark_ms = written.resume_watermark_ms if written is not None else 0
        self.requests = Requests()
        self.sealer = Sealer(config, several, written)
        self.counts: Counter[str] = Counter()
        self._place = Place(0, 0, 0)
        self._schemas: set[bytes] = set()

    @property
    def due_ms(self) -> float:
        """Event time to which somebody should move an idle log on; inf: nothing waits for it."""
        if self.sealer.rows:
            return self.sealer.deadline(self._place.input_offset)
        return self.requests.next_close_ms + self.config.window_ms // 2

    def feed(self, rows: Rows) -> list[pa.Table]:
        """The next events, of any number; returns the windows that they seal.

        Raises:
            ValueError: the events do not lead to what was written before.
        """
        for event in read_events(rows):
            self._process(event)
        return self.sealer.take()

    def _process(self, event: Event) -> None:
        before = self.watermark_ms
        self._place = self._place_of(event)
        if before == 0:
            self.sealer.start(event.received_at_ms)
        self._pass_time(max(before, event.received_at_ms))
        if event.kind == IMPRESSION:
            self._impress(event, before)
        elif event.kind == BEHAVIOUR:
            self._watch(event)
        elif event.kind == ANSWER:
            self._answer(event)
        self.requests.forget(self.watermark_ms)
        self.sealer.check(event.offset)

    def _place_of(self, event: Event) -> Place:
        if (oldest := self.requests.oldest) is None:
            return Place(event.offset, event.offset, self.watermark_ms)
        return Place(event.offset, oldest.offset, oldest.watermark_before_ms)

    def _pass_time(self, until_ms: int) -> None:
        """Close requests and seal windows in the order in which they fall due."""
        while True:
            close = self.requests.next_close_ms
            seal = self.sealer.deadline(self._place.input_offset)
            if (due := min(close, seal)) > until_ms:
                break
            self.watermark_ms = max(self.watermark_ms, int(due))
            if close <= seal:
                self._close(self.requests.pop_due())
            else:
                self.sealer.seal(self._place)
        self.watermark_ms = until_ms

    def _impress(self, event: Event, watermark_before_ms: int) -> None:
        if not self._is_impression(event.impression or b""):
            self._count("malformed impressions")
            return
        shortest_ms = event.received_at_ms + _ms(self.config.token_seconds)
        expires_ms = max(shortest_ms, event.expires_at_ms or 0)
        request = Request(event, watermark_before_ms, expires_ms + _ms(ON_THE_WAY_SECONDS))
        self.requests.add(request, event.received_at_ms + _ms(self.config.feedback_seconds))
        self._count("impressions")

    def _is_impression(self, data: bytes) -> bool:
        """Looked into once for each schema."""
        if (schema := schema_bytes(data)) not in self._schemas and is_impression(data):
            self._schemas.add(schema)
        return schema in self._schemas

    def _watch(self, event: Event) -> None:
        request = self._request(event)
        if request is None or event.item_id is None:
            self._count("behaviours of unknown requests")
        elif not request.is_open:
            self._count("late behaviours")
        elif event.event_id in request.behaviour_ids:
            self._count("duplicate behaviours")
        else:
            request.watch(event)
            self._count("behaviours")

    def _answer(self, event: Event) -> None:
        request = self._request(event)
        if request is None or event.item_id is None or event.answer not in ANSWERS:
            self._count("answers to unknown requests")
        elif request.has_answer(event):
            self._count("duplicate answers")
        elif (impression := request.payload or self.impression_at(request.offset)) is None:
            self._count("answers to unknown requests")
        elif (problem := _problem(impression, request, event)) is not None:
            self._count(problem)
        else:
            request.answer(event)
            self._emit_answer(request, event, impression)

    def _emit_answer(self, request: Request, event: Event, impression: bytes) -> None:
        assert event.item_id is not None
        assert event.answer is not None
        given = Given(event.item_id, event.answer, event.received_at_ms)
        items = {**request.items, event.item_id: _seen(request, event)}
        ids, name = [event.event_id], request.request_id
        self._emit(Row(ANSWER_SAMPLE, name, impression, items, given, ids, self._place))

    def _close(self, request: Request) -> None:
        if request.items:
            assert request.payload is not None
            ids, name = sorted(request.behaviour_ids), request.request_id
            row = Row(
                BEHAVIOUR_SAMPLE, name, request.payload, request.items, None, ids, self._place
            )
            self._emit(row)
        else:
            self._count("requests nobody saw")
        request.close()

    def _emit(self, row: Row) -> None:
        self._count(f"{row.kind} samples")
        self.sealer.add(row, self.watermark_ms)

    def _request(self, event: Event) -> Request | None:
        """The request that an event is about, if it is known and the event's own."""
        request = self.requests.of.get(event.impression_offset or 0)
        return request if request and request.request_id == event.request_id else None

    def _count(self, what: str) -> None:
        if not self.sealer.is_silent:
            self.counts[what] += 1


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _seen(request: Request, event: Event) -> Watched:
    """The item of an answer, with what the answer itself says of the watching."""
    assert event.item_id is not None
    before = request.items.get(event.item_id, Watched(0.0, 0))
    return Watched(max(before.seconds, event.watched_seconds or 0.0), before.behaviours)


def _problem(impression: bytes, request: Request, event: Event) -> str | None:
    """Why an answer cannot be one to the questionnaire of this request; None: it can."""
    shown = from_bytes(impression)
    column = {n: _candidates(shown, n) for n in ("item_id", "asked", "duration_seconds")}
    place = np.flatnonzero(column["item_id"] == event.item_id)[:1]
    if not len(place):
        return "answers to unknown requests"
    if not column["asked"][place].all():
        return "answers that nobody asked for"
    watched = np.array([_seen(request, event).seconds])
    eligible = is_eligible(watched, column["duration_seconds"][place])
    return None if eligible.all() else "answers before the trigger"


def _candidates(shown: pa.Table, name: str) -> np.ndarray:
    return shown.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
