"""KuaiRand's log -> samples: who saw what, what they did, and which videos they liked or hated.

Almost every logged request has one row (Pure keeps only pooled videos), so a list is made of a
viewer's rows: of one local day, or of twenty. The proxy of an answer is like = satisfied and
hate = dissatisfied (SAQRec, CIKM 2024), so neither is a behaviour, a feature or an upstream
score here. Whatever describes a list was known before the local midnight of its first row.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.datasets.kuairand_features import (
    USER_COLUMNS,
    USER_COUNTS,
    USER_GROUPS,
    VIDEO_COLUMNS,
    VIDEO_GROUPS,
    read_users,
    read_videos,
)
from easq.datasets.kuairand_files import Files, Text, read_text
from easq.datasets.kuairand_lists import UTC_OFFSET_HOURS, Lists, Requests, cut, main_tab
from easq.datasets.kuairand_log import LOG_COLUMNS, TABS, read_log
from easq.datasets.kuairand_past import (
    UPSTREAM,
    duration_bucket,
    item_past,
    log1p_tenth,
    user_past,
)
from easq.datasets.kuairand_reveal import is_revealed
from easq.events import BEHAVIOURS, Answer
from easq.features import FeatureSpec
from easq.history import Source, sha256_of
from easq.samples import BEHAVIOUR_SAMPLE, sample_schema

BEHAVIOUR_COLUMNS = {
    "effective_view": "is_click",
    "long_view": "long_view",
    "follow": "is_follow",
    "comment": "is_comment",
    "forward": "is_forward",
    "profile_enter": "is_profile_enter",
}
WIDE = {"user_id": 64, "item_id": 64, "item.author": 32}
CONTEXT_VALUES = {"scenario": TABS, "hour": 24, "weekday": 7}
ROWS_PER_ID = 20


class Imported(NamedTuple):
    """What `easq.history_write.write_history` takes."""

    name: str
    features: FeatureSpec
    samples: pa.Table
    sources: list[Source]
    rejected: pa.Table


def import_files(files: Files, lists: Lists, max_rows: int, revealed: float = 1.0) -> Imported:
    """Read one KuaiRand data set into samples with at most `max_rows` embedding rows an id.

    A list of `Lists.LAST20` can span days, and counts to the day of its first row: train on
    such lists, but evaluate through time on user-days. Of the likes and hates the share
    `revealed` are answers; the others are in no column. Raises ValueError where a file is
    damaged, lacks a column or holds no good row.
    """
    logs = [read_text(path, LOG_COLUMNS, quoted=False) for path in files.logs]
    user_text = read_text(files.users, USER_COLUMNS, quoted=True)
    video_text = read_text(files.videos, VIDEO_COLUMNS, quoted=True)
    log, rejected = read_log(logs)
    users, videos = read_users(user_text), read_videos(video_text)
    requests = cut(log["user_id"], log["time_ms"], lists)
    about_videos = videos.of(log["video_id"])
    columns = {
        **_as_it_turned_out(log, requests, is_revealed(log, revealed)),
        **_users(users.of(log["user_id"][requests.first])),
        **user_past(log, requests),
        **_items(log, about_videos),
        **item_past(log, about_videos["author"], about_videos["tag"], requests),
    }
    spec = _features(columns, max_rows)
    return Imported(
        f"kuairand-{files.variant}",
        spec,
        _samples(columns, spec, requests),
        [_source(text, lists, revealed) for text in (*logs, user_text, video_text)],
        pa.concat_tables([rejected, users.rejected, videos.rejected]),
    )


def _as_it_turned_out(
    log: dict[str, np.ndarray], requests: Requests, revealed: np.ndarray
) -> dict[str, np.ndarray]:
    """Ids, times, behaviours and answers: request columns [R], item columns [N]."""
    liked, hated = ((log[name] == 1) & revealed for name in ("is_like", "is_hate"))
    nothing = np.zeros(len(liked), dtype=bool)
    behaviours = {name: log[column] == 1 for name, column in BEHAVIOUR_COLUMNS.items()}
    tabs = np.array([f"tab{i}" for i in range(TABS)])
    return {
        "request_id": requests.request_id,
        "user_id": log["user_id"][requests.first],
        "scenario": tabs[main_tab(log["tab"], requests)],
        "request_time_ms": log["time_ms"][requests.first],
        "kind": np.full(len(requests.first), BEHAVIOUR_SAMPLE),
        "item_id": log["video_id"],
        "exposed": ~nothing,
        "watched_seconds": log["play_time_ms"] / 1000,
        "duration_seconds": log["duration_ms"] / 1000,
        **{f"behaviour.{name}": behaviours.get(name, nothing) for name in BEHAVIOURS},
        "answer": np.select([liked, hated], [Answer.SATISFIED, Answer.DISSATISFIED], Answer.NONE),
        "answer_time_ms": np.where(liked | hated, log["time_ms"], 0),
    }


def _users(about: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    groups = {f"user.{name}": about[name] for name in USER_GROUPS}
    return groups | {f"user.{name}": log1p_tenth(about[name]) for name in USER_COUNTS}


def _items(log: dict[str, np.ndarray], about: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    columns = {f"item.{name}": about[name] for name in ("author", "tag", "second_tag")}
    columns |= {f"item.{name}": about[name] for name in VIDEO_GROUPS}
    return columns | {
        "item.duration_bucket": duration_bucket(log["duration_ms"]),
        "item.tab": log["tab"],
        "item.duration": log1p_tenth(log["duration_ms"] / 1000),
    }


def _features(columns: dict[str, np.ndarray], max_rows: int) -> FeatureSpec:
    """Whole numbers are ids, fractions are dense; rows by how many ids the data has."""
    owner = {"user_id": "user", "item_id": "item"}
    owner |= {n: n.split(".")[0] for n in columns if n.startswith(("user.", "item."))}
    ids = {n: len(np.unique(columns[n])) for n in owner if columns[n].dtype.kind == "i"}
    categorical = [
        {
            "name": name.split(".")[-1],
            "of": owner.get(name, "context"),
            "width": WIDE.get(name, 8),
            "rows": embedding_rows(count, max_rows),
        }
        for name, count in (ids | CONTEXT_VALUES).items()
    ]
    dense = [{"name": n.split(".")[-1], "of": owner[n]} for n in owner if n not in ids]
    return FeatureSpec.model_validate(
        {
            "categorical": categorical,
            "dense": dense,
            "upstream": UPSTREAM,
            "scenarios": tuple(f"tab{i}" for i in range(TABS)),
            "utc_offset_hours": UTC_OFFSET_HOURS,
        }
    )


def embedding_rows(ids: int, max_rows: int) -> int:
    """A power of two of at least twenty rows an id, so that few ids share one."""
    return min(1 << (ROWS_PER_ID * ids - 1).bit_length(), max_rows)


def _samples(columns: dict[str, np.ndarray], spec: FeatureSpec, requests: Requests) -> pa.Table:
    offsets = pa.array(np.append(requests.first, requests.lengths.sum()), pa.int32())
    arrays = []
    schema = sample_schema(spec)
    for field in schema:
        if pa.types.is_list(field.type):
            values = pa.array(columns[field.name]).cast(field.type.value_type)
            arrays.append(pa.ListArray.from_arrays(offsets, values, type=field.type))
        else:
            arrays.append(pa.array(columns[field.name]).cast(field.type))
    return pa.table(arrays, schema=schema)


def _source(text: Text, lists: Lists, revealed: float) -> Source:
    return Source(
        name=text.path.name,
        rows=text.num_lines,
        sha256=sha256_of(text.path),
        parameters=f"lists={lists} revealed={revealed:g}",
    )
