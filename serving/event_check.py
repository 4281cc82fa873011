"""Is an event what it says? Token, item, seconds watched, and the rule of the questionnaire."""

from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from easq import feedback_token
from easq.events import ANSWER, BEHAVIOUR, BEHAVIOURS, Answer
from easq.feedback_token import (
    ExpiredTokenError,
    FeedbackToken,
    ForgedTokenError,
    MalformedTokenError,
    TokenError,
)
from easq.questionnaire import MIN_PROGRESS, MIN_WATCHED_SECONDS, is_eligible
from serving.config import ServingSettings
from serving.event_contract import AnswerEvent, BehaviourEvent, RejectionCode
from serving.event_rate import EventRate
from serving.refusal import of_validation, shown

SLACK_SECONDS = 1.0
"""Replicas' clocks may differ, and clients round."""
SLACK_SHARE = 0.1
"""Of a feedback window, where that is less."""
MAX_SKEW_MS = 6 * 3_600_000
MODELS = {BEHAVIOUR: BehaviourEvent, ANSWER: AnswerEvent}
ANSWERS = {
    "satisfied": Answer.SATISFIED,
    "uncertain": Answer.UNCERTAIN,
    "dissatisfied": Answer.DISSATISFIED,
}
TOKEN_CODES: dict[type[TokenError], RejectionCode] = {
    MalformedTokenError: "malformed_token",
    ForgedTokenError: "forged_token",
    ExpiredTokenError: "expired_token",
}
AnyEvent = BehaviourEvent | AnswerEvent


class RejectedError(Exception):
    """Raised where an event is found wrong."""

    def __init__(self, code: RejectionCode, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code: RejectionCode = code
        self.message, self.field = message, field
        self.user_id: int | None = None


class Accepted(NamedTuple):
    partition: int
    row: dict[str, Any]  # of easq.events.EVENT
    clock_skewed: bool


class BatchCheck:
    """Checks the events of one batch, all received at `now_ms`; reads each token once."""

    def __init__(self, key: bytes, rate: EventRate, settings: ServingSettings, now_ms: int) -> None:
        self.key, self.rate, self.settings, self.now_ms = key, rate, settings, now_ms
        self._tokens: dict[str, FeedbackToken | TokenError] = {}
        self._taken: set[str] = set()

    def check(self, came: Any) -> Accepted:
        """Raises RejectedError."""
        event = _parse(came)
        token = self._token(event.token)
        try:
            self._check_against(token, event)
        except RejectedError as error:
            error.user_id = token.user_id
            raise
        self._taken.add(event.event_id)
        return self._accept(event, token)

    def _check_against(self, token: FeedbackToken, event: AnyEvent) -> None:
        at = _position(token, event)
        self._check_watched(token, event)
        if isinstance(event, AnswerEvent):
            _check_answer(token, event, at)
        else:
            self._check_in_time(token)
        if event.event_id in self._taken:
            raise RejectedError(
                "duplicate_event_id",
                f"{shown(event.event_id)} came before in this batch: give each event an id of "
                "its own, and send it once a batch.",
                "event_id",
            )
        if not self.rate.takes(token.user_id, self.now_ms):
            raise RejectedError(
                "rate_limited",
                f"User {token.user_id} has sent {self.rate.per_minute} events in this minute: "
                "send the rest later, or raise EASQ_EVENTS_PER_MINUTE.",
            )

    def _token(self, text: str) -> FeedbackToken:
        if text not in self._tokens:
            try:
                self._tokens[text] = feedback_token.read(text, self.key, self.now_ms)
            except TokenError as error:
                self._tokens[text] = error
        token = self._tokens[text]
        if isinstance(token, TokenError):
            raise RejectedError(TOKEN_CODES[type(token)], str(token), "token")
        return token

    def _check_watched(self, token: FeedbackToken, event: AnyEvent) -> None:
        passed = (self.now_ms - token.issued_at_ms) / 1000
        if event.watched_seconds > self.settings.viewing_speed * passed + SLACK_SECONDS:
            raise RejectedError(
                "watched_too_long",
                f"{event.watched_seconds:g} s cannot have been watched: the ranking is "
                f"{passed:.1f} s old. Send what was watched up to now.",
                "watched_seconds",
            )

    def _check_in_time(self, token: FeedbackToken) -> None:
        """Whether the joiner's feedback window is still open when the event is in the log."""
        passed = (self.now_ms - token.issued_at_ms) / 1000
        taken = behaviour_seconds(self.settings.feedback_seconds)
        if passed > taken:
            raise RejectedError(
                "too_late",
                f"Behaviour is taken for {taken:g} s after its ranking, which is {passed:.1f} s "
                "old: send it sooner, or raise EASQ_FEEDBACK_SECONDS and the joiner's "
                "--feedback-seconds.",
                "token",
            )

    def _accept(self, event: AnyEvent, token: FeedbackToken) -> Accepted:
        row = event.model_dump(exclude={"token"}) | {
            "user_id": token.user_id,
            "received_at_ms": self.now_ms,
            "request_id": token.request_id,
            "impression_offset": token.impression_offset,
            "expires_at_ms": token.expires_at_ms,
        }
        if isinstance(event, AnswerEvent):
            row["answer"] = int(ANSWERS[event.answer])
        else:
            row["behaviours"] = list(dict.fromkeys(event.behaviours))
        client = event.client_time_ms
        is_skewed = client is not None and abs(client - self.now_ms) > MAX_SKEW_MS
        return Accepted(token.partition, row, is_skewed)


def behaviour_seconds(feedback_seconds: float) -> float:
    """How long behaviour is taken, so that it is in the log before its request closes.

    The rest of the window is for clocks that differ and for the append; behaviour whose append
    takes longer than that is in the log, and the joiner counts it as late.
    """
    return feedback_seconds - min(SLACK_SECONDS, SLACK_SHARE * feedback_seconds)


def _parse(came: Any) -> AnyEvent:
    kind = came.get("kind") if isinstance(came, dict) else None
    model = MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise RejectedError(
            "invalid_event",
            f"Expected an object with a `kind` of {sorted(MODELS)}; got {shown(came)}.",
            "kind",
        )
    try:
        event = model.model_validate(came)
    except ValidationError as error:
        refusal = of_validation(error).error
        raise RejectedError("invalid_event", refusal.message, refusal.field) from None
    if isinstance(event, BehaviourEvent):
        _check_behaviours(event)
    return event


def _check_behaviours(event: BehaviourEvent) -> None:
    if unknown := sorted(set(event.behaviours) - set(BEHAVIOURS)):
        raise RejectedError(
            "unknown_behaviour",
            f"Unknown behaviours {shown(unknown)}: expected some of {list(BEHAVIOURS)}.",
            "behaviours",
        )


def _position(token: FeedbackToken, event: AnyEvent) -> int:
    found = np.flatnonzero(token.item_id == event.item_id)
    if not len(found):
        raise RejectedError(
            "unknown_item",
            f"Item {event.item_id} was not in the response of this token: send the token of "
            "the ranking that showed it.",
            "item_id",
        )
    return int(found[0])


def _check_answer(token: FeedbackToken, event: AnswerEvent, at: int) -> None:
    if not token.asked[at]:
        raise RejectedError(
            "not_asked",
            f"Item {event.item_id} was not to be asked about: show the questionnaire only where "
            "`asked` of the ranking is true.",
            "item_id",
        )
    watched = np.array([event.watched_seconds], np.float32)  # as precise as the token's duration
    duration = token.duration_seconds[at : at + 1]
    if not is_eligible(watched, duration)[0]:
        length = f"of {duration[0]:g} s" if duration[0] > 0 else "of unknown length"
        raise RejectedError(
            "before_trigger",
            f"The questionnaire may be shown after {MIN_WATCHED_SECONDS:g} s or "
            f"{MIN_PROGRESS:.0%} of the item; {event.watched_seconds:g} s {length} were watched.",
            "watched_seconds",
        )
