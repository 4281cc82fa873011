"""When "Are you satisfied with this video?" may be asked (EASQ §4.2.3).

The server draws at ranking time which item of a response may be asked about; the client shows
the question once the viewer has watched enough of that item.
"""

import hashlib
import hmac
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


class Draw(NamedTuple):
    """Which items may be asked about; at most one of a request."""

    asked: np.ndarray  # bool [N]
    propensity: np.ndarray  # float32 [N], the probability with which each was to be asked about


def asking_key(token_key: bytes) -> bytes:
    """A secret for the draws, the same for all replicas; it tells nothing about the tokens' key."""
    return hmac.digest(token_key, b"questionnaire", "sha256")


def draw(
    request_id: str, item_id: np.ndarray, may_ask: np.ndarray, share: float, key: bytes
) -> Draw:
    """Ask about each of the `may_ask` items with probability min(share, 1 / their number).

    A cool-down leaves no room for two questions in one response, so one number in [0, 1), the
    hash of the arguments, decides: item i's stretch is [i p, (i + 1) p). The same arguments
    draw the same, so an impression can be replayed: `may_ask` is where its propensity is not 0.
    Clients choose ids of requests, and without the key cannot choose what is asked about.

    Args:
        key: of at most 64 bytes; `asking_key` makes one.
    """
    candidates = np.flatnonzero(may_ask)
    p = min(share, 1 / max(len(candidates), 1))
    asked, propensity = np.zeros(len(item_id), bool), np.zeros(len(item_id), np.float32)
    propensity[candidates] = p
    position = _uniform(request_id, item_id, key) / p if p > 0 else np.inf
    if position < len(candidates):
        asked[candidates[int(position)]] = True
    return Draw(asked, propensity)


def _uniform(request_id: str, item_id: np.ndarray, key: bytes) -> float:
    """53 bits of a keyed hash, in [0, 1)."""
    said = f"{request_id} ".encode() + item_id.astype("<i8").tobytes()
    digest = hashlib.blake2b(said, digest_size=8, key=key).digest()
    return (int.from_bytes(digest, "little") >> 11) / 2**53


DAY_MS = 86_400_000


class AskedUsers:
    """Who was asked lately: the memory behind the cap and the cool-down.

    It lives in one replica and dies with it. With k replicas a user may get up to k times the
    cap. It holds the `room` users asked last.
    """

    def __init__(self, rules: AskingRules, room: int = 100_000) -> None:
        self.rules, self.room = rules, room
        self._offers: OrderedDict[int, list[int]] = OrderedDict()
        """Times of each user's offers on the day of the last, and of the one before that day."""

    def __len__(self) -> int:
        return len(self._offers)

    def may_be_asked(self, user_id: int, now_ms: int) -> bool:
        """Neither cooling down nor at the cap."""
        offers = self._offers.get(user_id, [])
        rested = not offers or now_ms - offers[-1] >= 1000 * self.rules.cooldown_seconds
        today = sum(at // DAY_MS == now_ms // DAY_MS for at in offers)
        return rested and today < self.rules.per_day

    def note(self, user_id: int, now_ms: int) -> None:
        """The user was offered the questionnaire."""
        offers = self._offers.pop(user_id, [])
        if offers and offers[-1] // DAY_MS != now_ms // DAY_MS:
            offers = offers[-1:]
        self._offers[user_id] = [*offers, now_ms]
        if len(self._offers) > self.room:
            self._offers.popitem(last=False)

    def forget(self, user_id: int, noted_ms: int) -> None:
        """What was noted at that time did not reach the user."""
        offers = self._offers.get(user_id, [])
        if noted_ms in offers:
            offers.remove(noted_ms)
        if not offers:
            self._offers.pop(user_id, None)
