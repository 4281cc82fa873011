"""The words of the log: what a viewer does, and what a viewer answers.

Arrow schemas are the single truth of what is stored; the HTTP edge checks with pydantic.
"""

from enum import IntEnum

import pyarrow as pa

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


class Answer(IntEnum):
    """Reply to "Are you satisfied with this video?" (EASQ §4.2.2); NONE where nobody asked."""

    NONE = 0
    SATISFIED = 1
    UNCERTAIN = 2
    DISSATISFIED = 3


BEHAVIOUR_EVENT = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("received_at_ms", pa.int64(), nullable=False),
        pa.field("watched_seconds", pa.float32()),
        *(pa.field(name, pa.bool_()) for name in BEHAVIOURS),
    ]
)

ANSWER_EVENT = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("item_id", pa.int64(), nullable=False),
        pa.field("received_at_ms", pa.int64(), nullable=False),
        pa.field("watched_seconds", pa.float32(), nullable=False),
        pa.field("answer", pa.int8(), nullable=False),
    ]
)
