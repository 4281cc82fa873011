"""The words of the log: what a viewer does, and what a viewer answers.

Arrow schemas are the single truth of what is stored; the HTTP edge checks with pydantic.
"""

from enum import IntEnum

import numpy as np
import pyarrow as pa

EFFECTIVE_SECONDS = 7.0
LONG_SECONDS = 18.0

BEHAVIOURS = (
    "effective_view",  # watched > 7 s, or the whole video if it is shorter
    "long_view",  # watched >= 18 s, or the whole video
    "like",
    "follow",
    "comment",
    "forward",
    "profile_enter",
    "hate",
)


def reached(watched: np.ndarray, duration: np.ndarray, seconds: float) -> np.ndarray:
    """Watched so many seconds, or all of a shorter video, bool [N]; duration 0: unknown."""
    return watched >= np.where(duration > 0, np.minimum(seconds, duration), seconds)


class Answer(IntEnum):
    """Reply to "Are you satisfied with this video?" (EASQ §4.2.2); NONE where nobody asked."""

    NONE = 0
    SATISFIED = 1
    UNCERTAIN = 2
    DISSATISFIED = 3


IMPRESSION, BEHAVIOUR, ANSWER, TICK = "impression", "behaviour", "answer", "tick"

EVENT = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),  # an impression's is its request id
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("received_at_ms", pa.int64(), nullable=False),  # by the server's clock
        pa.field("request_id", pa.string()),
        pa.field("impression_offset", pa.int64()),  # in the same partition, from the token
        pa.field("expires_at_ms", pa.int64()),  # of the token
        pa.field("item_id", pa.int64()),
        pa.field("watched_seconds", pa.float32()),
        pa.field("behaviours", pa.list_(pa.string())),  # those of BEHAVIOURS that happened
        pa.field("answer", pa.int8()),
        pa.field("client_time_ms", pa.int64()),  # only checked
        pa.field("impression", pa.binary()),  # one row, Arrow IPC, easq.samples.impression_schema
    ]
)
"""A row of topic `events`. Ticks are the clock of an idle log: time is what events say."""

REJECTION = pa.schema(
    [
        pa.field("received_at_ms", pa.int64(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("message", pa.string(), nullable=False),
        pa.field("event_id", pa.string()),  # where it could be read
        pa.field("user_id", pa.int64()),  # where the token was good
        pa.field("payload", pa.string(), nullable=False),  # the event as it came, cut when long
    ]
)
"""A row of topic `rejected`: an event that the API refused, and why."""
