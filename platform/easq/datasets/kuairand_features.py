"""What KuaiRand publishes about viewers and videos, as ids and numbers by user and by video."""

# pyarrow.compute makes its functions when it is imported, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

import hashlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from easq.datasets.kuairand_files import MISSING, Text, reject, whole_numbers

USER_GROUPS = (
    *("user_active_degree", "follow_user_num_range", "fans_user_num_range"),
    *("friend_user_num_range", "register_days_range"),
    *(f"onehot_feat{i}" for i in (1, 2, 3, 4, 7, 8)),
)
USER_COUNTS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
USER_COLUMNS = ("user_id", *USER_GROUPS, *USER_COUNTS)
VIDEO_GROUPS = ("video_type", "upload_type", "music_type")
VIDEO_COLUMNS = ("video_id", "author_id", "tag", *VIDEO_GROUPS)
NO_VALUE = pa.array(["", "nan", "NaN", "null", "NULL", "None"])


class Attributes(NamedTuple):
    """Columns about users or videos; an id that is not listed has MISSING everywhere."""

    ids: np.ndarray  # int [n], ascending
    columns: dict[str, np.ndarray]  # int64 [n] each
    rejected: pa.Table

    def of(self, wanted: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of these ids, [N] each."""
        place = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        is_known = self.ids[place] == wanted
        return {name: np.where(is_known, v[place], MISSING) for name, v in self.columns.items()}


def read_users(text: Text) -> Attributes:
    """Groups hashed, counts as numbers."""
    groups = {name: hashed(text.columns.column(name)) for name in USER_GROUPS}
    counts = {name: whole_numbers(text.columns.column(name)) for name in USER_COUNTS}
    return _by_id(text, "user_id", groups | counts)


def read_videos(text: Text) -> Attributes:
    """Author, first and second of the comma-separated tags, and groups hashed."""
    tags = pc.extract_regex(
        text.columns.column("tag").combine_chunks(), r"^(?P<first>[^,]*),?(?P<second>[^,]*)"
    )
    columns = {
        "author": whole_numbers(text.columns.column("author_id")),
        "tag": hashed(pc.struct_field(tags, "first")),
        "second_tag": hashed(pc.struct_field(tags, "second")),
    }
    groups = {name: hashed(text.columns.column(name)) for name in VIDEO_GROUPS}
    return _by_id(text, "video_id", columns | groups)


def _by_id(text: Text, name: str, columns: dict[str, np.ndarray]) -> Attributes:
    """Rows by id. The first row of an id counts; rows without one, and later ones, do not."""
    ids = whole_numbers(text.columns.column(name))
    known, first = np.unique(ids, return_index=True)
    first = first[known != MISSING]
    if not len(first):
        raise ValueError(f"{text.path} holds no {name}. Expected the file as published.")
    bad = np.setdiff1d(np.arange(len(ids)), first)
    reasons = [
        f"{name} is not a whole number of 0 or more" if ids[i] == MISSING else f"{name} came before"
        for i in bad
    ]
    rejected = pa.concat_tables([text.rejected, reject(text.path, text.lines[bad], reasons)])
    return Attributes(ids[first], {n: v[first] for n, v in columns.items()}, rejected)


def hashed(text: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Stable int64 >= 0 of each string, MISSING where there is none; "3.0" is "3"."""
    text = pc.replace_substring_regex(text, r"\.0$", "")
    text = pc.if_else(pc.is_in(text, NO_VALUE), None, text)
    coded = pc.dictionary_encode(text)
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    words = [_hash(word) for word in coded.dictionary.cast(pa.binary()).to_pylist()]
    indices = coded.indices.fill_null(len(words)).to_numpy()
    return np.array([*words, MISSING], dtype=np.int64)[indices]


def _hash(word: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little") >> 1
