"""A request as it was ranked, before anyone else knows of it."""

import time
from typing import NamedTuple

import numpy as np

from easq.features import Columns
from serving.contract import RankResponse
from serving.live import Live


class Ranked(NamedTuple):
    """N candidates."""

    response: RankResponse  # as it goes out where there is no feedback
    live: Live
    columns: Columns
    duration_seconds: np.ndarray  # float32 [N], 0: unknown
    score: np.ndarray  # float32 [N]
    best: np.ndarray  # positions that are returned, by falling score

    @property
    def user_id(self) -> int:
        return int(self.columns.user["user_id"][0])


def now_ms() -> int:
    return time.time_ns() // 1_000_000
