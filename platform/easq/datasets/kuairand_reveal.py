"""Likes and hates as a stream of rare answers: a share is revealed, the rest stays a secret.

KuaiRand has no questionnaire, and its viewers like a hundred times more often than they would
answer one. Hidden likes and hates are the truth that methods are tested on.
"""

import hashlib
import struct

import numpy as np

Columns = dict[str, np.ndarray]


def is_revealed(log: Columns, share: float) -> np.ndarray:
    """Which rows show their like or hate as an answer, bool [N].

    Decided by a hash of viewer, video and time: the same in every import, and of a smaller share
    every answer is also one of a larger share.
    """
    revealed = np.zeros(len(log["user_id"]), dtype=bool)
    rows = np.flatnonzero(log["is_like"] | log["is_hate"])
    ids = (log[name][rows].tolist() for name in ("user_id", "video_id", "time_ms"))
    revealed[rows] = [_place(event) < share for event in zip(*ids, strict=True)]
    return revealed


def _place(event: tuple[int, ...]) -> float:
    """Evenly in [0, 1)."""
    digest = hashlib.blake2b(struct.pack("<3q", *event), digest_size=8, person=b"easq reveal")
    return int.from_bytes(digest.digest(), "little") / 2**64
