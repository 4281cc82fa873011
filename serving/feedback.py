"""The feedback side of a replica: impressions out with rankings, events in (design: the join)."""

import logging
import threading
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from easq import feedback_token
from easq.feedback_token import FeedbackToken
from easq.impression import Shown, impression_event
from easq.log.connect import partition_of
from easq.log.identity import identity
from easq.log.interface import EVENTS, Log, LogAwayError, LogError, LogFullError
from easq.log.patient import PatientLog
from easq.questionnaire import AskedUsers, AskingRules, Draw, asking_key, draw
from serving.config import ServingSettings
from serving.contract import FeedbackReport, RankResponse
from serving.event_contract import EventsRequest, EventsResponse
from serving.inbox import Inbox
from serving.log_writer import LogWriter
from serving.ranked import Ranked, now_ms

log = logging.getLogger("ray.serve")


class Met(NamedTuple):
    """What the log has said of itself."""

    partitions: int
    key: bytes  # of its tokens

    @classmethod
    def of(cls, log: Log, key: bytes) -> "Met":
        return cls(log.partitions(EVENTS), feedback_token.key_of_log(key, identity(log)))


class Feedback:
    """Tokens for rankings, and a reply to every event. Called from one event loop."""

    def __init__(self, log: Log, key: bytes, settings: ServingSettings) -> None:
        self.token_ms = int(1000 * settings.token_seconds)
        self.rules = AskingRules(
            share=settings.ask_share,
            per_day=settings.ask_per_day,
            cooldown_seconds=settings.ask_cooldown_seconds,
        )
        self.asked, self.asking_key = AskedUsers(self.rules), asking_key(key)
        self.patience_seconds = settings.log_patience_seconds
        self.writer = LogWriter(log, settings.log_patience_seconds)
        self.inbox = Inbox(self.writer, lambda: self._met().key, settings)
        self.impressions = self.impressions_lost = self.offered = 0
        self.problem: str | None = None
        self._closing = threading.Event()
        self._known_log: Met | None = None
        self._meet(log, key)

    async def shown(self, ranked: Ranked) -> RankResponse:
        """The response, with a token once its impression is in the log; without one if it cannot.

        Ranking goes on whatever ails the log.
        """
        issued = now_ms()
        decided = self._draw(ranked, issued)
        try:
            met = self._met()
            partition = partition_of(ranked.user_id, met.partitions)
            offset = await self._append(ranked, decided, partition, issued)
        except LogError as error:
            self._note(str(error))
            self.impressions_lost += 1
            if decided.asked.any():
                self.asked.forget(ranked.user_id, issued)
            return ranked.response.model_copy(update={"feedback": "away"})
        self._note(None)
        self.impressions += 1
        self.offered += int(decided.asked.any())
        return self._with_token(ranked, decided, partition, offset, issued, met.key)

    async def receive(self, request: EventsRequest) -> EventsResponse:
        """Raises RefusedError when the log takes nothing; then the whole batch may come again."""
        return await self.inbox.receive(request.events, now_ms())

    def report(self) -> FeedbackReport:
        return FeedbackReport(
            impressions=self.impressions,
            impressions_lost=self.impressions_lost,
            offered=self.offered,
            accepted=self.inbox.accepted,
            rejected=dict(self.inbox.rejected),
            clock_skewed=self.inbox.clock_skewed,
            batches_refused=self.inbox.batches_refused,
            dead_letters_lost=self.inbox.dead_letters_lost,
            problem=self.problem,
        )

    def close(self) -> None:
        self._closing.set()
        self.writer.close()

    def _meet(self, log: Log, key: bytes) -> None:
        """A replica that starts while the log is away ranks, and asks again beside it."""
        try:
            self._known_log = Met.of(log, key)
        except (LogAwayError, LogFullError) as error:
            self._note(str(error))
            threading.Thread(target=self._keep_asking, args=(log, key), daemon=True).start()

    def _keep_asking(self, log: Log, key: bytes) -> None:
        with suppress(LogError):  # closed before an answer came
            self._known_log = Met.of(PatientLog(log, self._closing.wait), key)

    def _met(self) -> "Met":
        if self._known_log is None:
            raise LogAwayError("the log has not said yet which it is and how wide")
        return self._known_log

    def _draw(self, ranked: Ranked, time_ms: int) -> Draw:
        """Noted at once: two requests of one user may be on their way together."""
        returned = np.zeros(len(ranked.score), bool)
        returned[ranked.best] = self.asked.may_be_asked(ranked.user_id, time_ms)
        ids, request_id = ranked.columns.item["item_id"], ranked.response.request_id
        decided = draw(request_id, ids, returned, self.rules.share, self.asking_key)
        if decided.asked.any():
            self.asked.note(ranked.user_id, time_ms)
        return decided

    async def _append(
        self, ranked: Ranked, decided: Draw, partition: int, issued_at_ms: int
    ) -> int:
        """Offset of the impression. It outlives the death of processes; only events are synced."""
        shown = Shown(
            ranked.response.request_id,
            ranked.columns,
            ranked.duration_seconds,
            ranked.score,
            *decided,
            ranked.response.model.version,
            ranked.response.model.seq,
            ranked.response.model.name,
        )
        expires = issued_at_ms + self.token_ms
        rows = impression_event(shown, ranked.live.impression, issued_at_ms, expires)
        offsets = await self.writer.append(EVENTS, partition, rows, False, self.patience_seconds)
        return int(offsets[0])

    def _with_token(
        self,
        ranked: Ranked,
        decided: Draw,
        partition: int,
        offset: int,
        issued_at_ms: int,
        key: bytes,
    ) -> RankResponse:
        best = ranked.best
        token = FeedbackToken(
            partition,
            offset,
            ranked.user_id,
            issued_at_ms,
            issued_at_ms + self.token_ms,
            ranked.response.request_id,
            ranked.columns.item["item_id"][best],
            ranked.duration_seconds[best],
            decided.asked[best],
        )
        said = {
            "asked": token.asked.tolist(),
            "token": feedback_token.sign(token, key),
            "feedback": "on",
        }
        return ranked.response.model_copy(update=said)

    def _note(self, problem: str | None) -> None:
        """Each change is logged once."""
        if problem is not None and self.problem is None:
            log.warning("rankings go out without tokens: %s", problem)
        elif problem is None and self.problem is not None:
            log.info("the log takes impressions again")
        self.problem = problem
