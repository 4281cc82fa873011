"""What goes over HTTP about feedback: batches of behaviours and answers, a reply to each."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict

from easq.events import BEHAVIOURS
from serving.contract import Contract

EVENTS_EXAMPLE: JsonDict = {
    "events": [
        {
            "kind": "behaviour",
            "event_id": "e1",
            "token": "AQAAKgAAAAAAAAAHAAAAAAAAAACAxMMugAEAAA",
            "item_id": 503,
            "watched_seconds": 8.2,
            "behaviours": ["effective_view", "like"],
        },
        {
            "kind": "answer",
            "event_id": "e2",
            "token": "AQAAKgAAAAAAAAAHAAAAAAAAAACAxMMugAEAAA",
            "item_id": 503,
            "watched_seconds": 8.2,
            "answer": "satisfied",
            "client_time_ms": 1_650_000_009_000,
        },
    ]
}
RESULTS_EXAMPLE: JsonDict = {
    "results": [
        {"event_id": "e1", "status": "accepted", "clock_skewed": False},
        {
            "event_id": "e2",
            "status": "rejected",
            "code": "not_asked",
            "message": "Item 503 was not to be asked about: show the questionnaire only where "
            "`asked` of the ranking is true.",
            "field": "item_id",
        },
    ]
}
MAX_ID, MAX_MS = 128, 2**53


class Event(Contract):
    event_id: str = Field(min_length=1, max_length=MAX_ID)
    """Made by the client, the same when it sends the event again: it counts once."""
    token: str = Field(min_length=1)
    """Of the ranking that showed the item."""
    item_id: int
    watched_seconds: float = Field(ge=0, le=86_400, allow_inf_nan=False)
    """In all, of this item, up to now."""
    client_time_ms: int | None = Field(default=None, ge=0, le=MAX_MS)
    """Unix milliseconds by the client's clock; kept, and flagged where it is hours off."""


class BehaviourEvent(Event):
    """What the viewer did with an item; the item counts as shown from the first of these."""

    kind: Literal["behaviour"]
    behaviours: list[Annotated[str, Field(json_schema_extra={"enum": list(BEHAVIOURS)})]]
    """Those that have happened; none for an item that was only seen."""


class AnswerEvent(Event):
    """Reply to "Are you satisfied with this video?"."""

    kind: Literal["answer"]
    answer: Literal["satisfied", "dissatisfied", "uncertain"]


EVENTS_SCHEMA = {
    "type": "array",
    "items": {"anyOf": [e.model_json_schema() for e in (BehaviourEvent, AnswerEvent)]},
}


class EventsRequest(Contract):
    """A batch. Each event is checked apart: one that is wrong does not spoil the others."""

    model_config = ConfigDict(json_schema_extra={"examples": [EVENTS_EXAMPLE]})

    events: Annotated[list[Any], WithJsonSchema(EVENTS_SCHEMA)] = Field(min_length=1)


RejectionCode = Literal[
    "invalid_event",
    "unknown_behaviour",
    "malformed_token",
    "forged_token",
    "expired_token",
    "too_late",
    "unknown_item",
    "watched_too_long",
    "not_asked",
    "before_trigger",
    "duplicate_event_id",
    "rate_limited",
]


class EventResult(Contract):
    """Accepted: it outlives a power cut, and counts once however often it is sent.

    An event that is sent again, as its reply was lost, is checked anew: it may be told `too_late`,
    `expired_token` or `rate_limited` where the first was accepted, and the first counts all the
    same. There is no use in sending it a third time.
    """

    event_id: str | None
    """None where the event has none that could be read."""
    status: Literal["accepted", "rejected"]
    code: RejectionCode | None = None
    message: str | None = None
    """Why it was rejected: what was expected, what came and what to do."""
    field: str | None = None
    clock_skewed: bool = False
    """The client's clock is hours off; the event counts all the same."""


class EventsResponse(Contract):
    """One result an event, in the order of the batch."""

    model_config = ConfigDict(json_schema_extra={"examples": [RESULTS_EXAMPLE]})

    results: list[EventResult]
