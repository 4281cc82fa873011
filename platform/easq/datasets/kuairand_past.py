"""What the log itself says before each list's local midnight: upstream scores and numbers.

Likes and hates are the answers, so no rate of theirs is here.
"""

import numpy as np

from easq.datasets.kuairand_lists import Requests, local_day
from easq.datasets.past_rates import Past, smoothed_rates

Columns = dict[str, np.ndarray]

STRENGTH = 10.0
"""Rows of the global rate that a rate starts with; of 2 to 50 the best on Pure, by little."""

ITEM_RATES = {
    "long_view": "long_view",
    "effective_view": "is_click",
    "follow": "is_follow",
    "comment": "is_comment",
    "forward": "is_forward",
    "profile_enter": "is_profile_enter",
}
"""Upstream score of an item -> column of the log."""

GROUP_RATES = ("author_long_view", "tag_long_view", "place_long_view")
"""Long-view rate of the item's author, first tag, and tab with duration bucket."""

UPSTREAM = (*ITEM_RATES, *GROUP_RATES)

DURATION_SECONDS = (0.001, 3, 7, 12, 18, 25, 35, 50, 75, 110, 180, 300, 600)
"""Upper ends of the duration buckets; 0 is unknown. 7 and 18 s decide effective and long view."""


def duration_bucket(duration_ms: np.ndarray) -> np.ndarray:
    return np.searchsorted(DURATION_SECONDS, duration_ms / 1000, side="right")


def log1p_tenth(counts: np.ndarray) -> np.ndarray:
    """Counts on a unit scale: 22 thousand is 1; what is missing counts as 0."""
    return np.log1p(np.maximum(counts, 0)) / 10


def item_past(log: Columns, author: np.ndarray, tag: np.ndarray, requests: Requests) -> Columns:
    """Upstream scores and dense numbers of the items, [N] each."""
    day, at_day = local_day(log["time_ms"]), requests.row_day
    everyone = _past(np.zeros_like(day), day, at_day)
    item = _past(log["video_id"], day, at_day)
    place = log["tab"] * len(DURATION_SECONDS) + duration_bucket(log["duration_ms"])
    groups = (_past(author, day, at_day), _past(tag, day, at_day), _past(place, day, at_day))
    columns = {
        f"upstream.{name}": smoothed_rates(item, everyone, log[happened], STRENGTH)
        for name, happened in ITEM_RATES.items()
    }
    for name, group in zip(GROUP_RATES, groups, strict=True):
        columns[f"upstream.{name}"] = smoothed_rates(group, everyone, log["long_view"], STRENGTH)
    columns["item.past_views"] = log1p_tenth(item.counts)
    columns["item.past_author_views"] = log1p_tenth(groups[0].counts)
    return columns


def user_past(log: Columns, requests: Requests) -> Columns:
    """Dense numbers of the viewers, [R] each."""
    day = local_day(log["time_ms"])
    codes = np.unique(log["user_id"], return_inverse=True)[1]
    viewer = Past.of(codes, day, codes[requests.first], requests.day)
    everyone = Past.of(np.zeros_like(day), day, np.zeros_like(requests.day), requests.day)
    return {
        "user.past_views": log1p_tenth(viewer.counts),
        "user.past_long_view": smoothed_rates(viewer, everyone, log["long_view"], STRENGTH),
        "user.past_effective_view": smoothed_rates(viewer, everyone, log["is_click"], STRENGTH),
    }


def _past(entity: np.ndarray, day: np.ndarray, at_day: np.ndarray) -> Past:
    codes = np.unique(entity, return_inverse=True)[1]
    return Past.of(codes, day, codes, at_day)
