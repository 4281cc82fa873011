"""Cutting a viewer's rows into lists: one list is one request of the samples."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from easq.datasets.kuairand_log import TABS
from easq.features import HOUR_MS

UTC_OFFSET_HOURS = 8.0
DAY_MS = 24 * HOUR_MS
LAST = 20


class Lists(StrEnum):
    """What makes a list."""

    USER_DAY = "user-day"  # a viewer's rows of one local day
    LAST20 = "last20"  # a viewer's rows in twenties, counted back from the last one


class Requests(NamedTuple):
    """R lists over the N rows of the log, which stand by user and time."""

    first: np.ndarray  # [R], first row of each list
    lengths: np.ndarray  # [R]
    day: np.ndarray  # [R], local day of the first row, since 1970
    request_id: np.ndarray  # str [R]

    @property
    def row_day(self) -> np.ndarray:
        """Day of each row's list, [N]: the past ends where it starts."""
        return np.repeat(self.day, self.lengths)


def local_day(time_ms: np.ndarray) -> np.ndarray:
    """Days since 1970 in China. The log's own `date` is that of the play, not of the request."""
    return (time_ms + int(UTC_OFFSET_HOURS * HOUR_MS)) // DAY_MS


def cut(user_id: np.ndarray, time_ms: np.ndarray, lists: Lists) -> Requests:
    """Lists of rows that are sorted by user and time."""
    part = local_day(time_ms) if lists is Lists.USER_DAY else _twenties_from_the_end(user_id)
    starts = np.ones(len(user_id), dtype=bool)
    starts[1:] = (np.diff(user_id) != 0) | (np.diff(part) != 0)
    first = np.flatnonzero(starts)
    lengths = np.diff(np.append(first, len(user_id)))
    names = [f"{u}-{p}" for u, p in zip(user_id[first].tolist(), part[first].tolist(), strict=True)]
    return Requests(first, lengths, local_day(time_ms[first]), np.array(names))


def _twenties_from_the_end(user_id: np.ndarray) -> np.ndarray:
    rows_up_to_last = np.searchsorted(user_id, user_id, side="right")
    return (rows_up_to_last - 1 - np.arange(len(user_id))) // LAST


def main_tab(tab: np.ndarray, requests: Requests) -> np.ndarray:
    """The tab of most rows of each list, [R]; the lower one of equals."""
    request = np.repeat(np.arange(len(requests.first)), requests.lengths)
    counts = np.bincount(request * TABS + tab, minlength=len(requests.first) * TABS)
    return counts.reshape(-1, TABS).argmax(axis=1)
