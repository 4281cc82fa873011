"""When "Are you satisfied with this video?" may be asked (EASQ §4.2.3).

The server draws at ranking time which item of a response may be asked about; the client shows
the question once the viewer has watched enough of that item.
"""

import hashlib
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped
from pydantic import BaseModel, ConfigDict, Field

MIN_WATCHED_SECONDS = 7.0
MIN_PROGRESS = 0.5


def is_eligible(
    watched_seconds: Shaped[np.ndarray, "view"], duration_seconds: Shaped[np.ndarray, "view"]
) -> Bool[np.ndarray, "view"]:
    """Watched at least 7 s or at least half of the video; an unknown duration (0) needs 7 s."""
    half = (duration_seconds > 0) & (watched_seconds >= MIN_PROGRESS * duration_seconds)
    return (watched_seconds >= MIN_WATCHED_SECONDS) | half


class AskingRules(BaseModel):
    """How often viewers may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.005, ge=0, le=1)
    """Of views (EASQ §4.2.3: about 0.5 %)."""
    per_day: int = Field(default=3, ge=0)
    """Offers to one user in a day of UTC."""
    cooldown_seconds: float = Field(default=600.0, ge=0)
    """Between two offers to one user."""
    seed: int = 0


class Draw(NamedTuple):
    """Which items may be asked about; at most one of a request."""

    asked: np.ndarray  # bool [N]
    propensity: np.ndarray  # float32 [N], the probability with which each was to be asked about


def draw(
    request_id: str, item_id: np.ndarray, may_ask: np.ndarray, share: float, seed: int
) -> Draw:
    """Ask about each of the `may_ask` items with probability min(share, 1 / their number).

    A cool-down leaves no room for two questions in one response, so one number in [0, 1), the
    hash of the arguments, decides: item i's stretch is [i p, (i + 1) p). The same arguments
    draw the same, so an impression can be replayed: `may_ask` is where its propensity is not 0.
    """
    candidates = np.flatnonzero(may_ask)
    p = min(share, 1 / max(len(candidates), 1))
    asked, propensity = np.zeros(len(item_id), bool), np.zeros(len(item_id), np.float32)
    propensity[candidates] = p
    position = _uniform(request_id, item_id, seed) / p if p > 0 else np.inf
    if position < len(candidates):
        asked[candidates[int(position)]] = True
    return Draw(asked, propensity)


def _uniform(request_id: str, item_id: np.ndarray, seed: int) -> float:
    """53 bits of a hash, in [0, 1)."""
    said = f"{seed} {request_id} ".encode() + item_id.astype("<i8").tobytes()
    digest = hashlib.blake2b(said, digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


DAY_MS = 86_400_000


class LastAsked(NamedTuple):
    at_ms: int
    today: int
    """Offers on the day of `at_ms`."""


class AskedUsers:
    """Who was asked lately: the memory behind the cap and the cool-down.

    It lives in one replica and dies with it. With k replicas a user may get up to k times the
    cap. It holds the `room` users asked last.
    """

    def __init__(self, rules: AskingRules, room: int = 100_000) -> None:
        self.rules, self.room = rules, room
        self._last: OrderedDict[int, LastAsked] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def may_be_asked(self, user_id: int, now_ms: int) -> bool:
        """Neither cooling down nor at the cap."""
        last = self._last.get(user_id)
        if last is None:
            return self.rules.per_day > 0
        rested = now_ms - last.at_ms >= 1000 * self.rules.cooldown_seconds
        return rested and self._today(last, now_ms) < self.rules.per_day

    def note(self, user_id: int, now_ms: int) -> None:
        """The user was offered the questionnaire."""
        last = self._last.pop(user_id, None)
        today = 0 if last is None else self._today(last, now_ms)
        self._last[user_id] = LastAsked(now_ms, today + 1)
        if len(self._last) > self.room:
            self._last.popitem(last=False)

    def _today(self, last: LastAsked, now_ms: int) -> int:
        return last.today if last.at_ms // DAY_MS == now_ms // DAY_MS else 0
