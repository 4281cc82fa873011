"""Which features a model reads, and the raw columns of requests that hold them."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

CONTEXT = ("scenario", "hour", "weekday")
"""Context features; computed from the request itself."""

RESERVED = "duration_seconds"
WIDTHS = (64, 32, 8)
HOUR_MS = 3_600_000


class Categorical(BaseModel):
    """An id-like feature: hashed into `rows` rows, `width` numbers each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    of: Literal["user", "item", "context"]
    width: Literal[64, 32, 8]
    rows: int = Field(ge=1)

    @property
    def column(self) -> str:
        """Where a sample keeps it; the two ids are columns of their own."""
        return self.name if self.name in ("user_id", "item_id") else f"{self.of}.{self.name}"

    @property
    def salt(self) -> int:
        digest = hashlib.blake2b(f"{self.of}.{self.name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little")


class Dense(BaseModel):
    """A number, roughly of unit scale, as it was when the request was served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    of: Literal["user", "item"]

    @property
    def column(self) -> str:
        return f"{self.of}.{self.name}"


class FeatureSpec(BaseModel):
    """Which features a data set has; stored with the data, the checkpoint and the version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    categorical: tuple[Categorical, ...]
    dense: tuple[Dense, ...] = ()
    upstream: tuple[str, ...] = ()
    """Scores of earlier models, by candidate; their ranks in the request are added (EMER §1)."""
    scenarios: tuple[str, ...] = ("main",)
    utc_offset_hours: float = 0.0
    """Local time of the viewers: hour and weekday are read in it."""

    @model_validator(mode="after")
    def _check(self) -> "FeatureSpec":
        columns = [f.column for f in (*self.categorical, *self.dense)]
        columns += [f"upstream.{name}" for name in self.upstream]
        repeated = {c for c in columns if columns.count(c) > 1}
        if repeated:
            raise ValueError(f"features must have different names; twice: {sorted(repeated)}")
        unknown = [f.name for f in self.categorical if f.of == "context" and f.name not in CONTEXT]
        if unknown:
            raise ValueError(f"context features are {CONTEXT}, not {unknown}")
        if any(f.of == "item" and f.name == RESERVED for f in (*self.categorical, *self.dense)):
            raise ValueError(
                f"an item feature cannot be named {RESERVED!r}: requests send raw seconds under "
                "that name, for feedback to be checked against; name it log_duration, say"
            )
        if not any(f.of != "item" for f in self.categorical) or not self.items:
            raise ValueError("a model needs at least one user or context id and one item id")
        return self

    @cached_property
    def users(self) -> tuple[Categorical, ...]:
        """Features of the user and the context: one value a request."""
        return tuple(f for f in self.categorical if f.of != "item")

    @cached_property
    def items(self) -> tuple[Categorical, ...]:
        """Features of the candidates: one value a candidate."""
        return tuple(f for f in self.categorical if f.of == "item")

    def table_rows(self, width: int) -> int:
        return sum(f.rows for f in self.categorical if f.width == width)

    @cached_property
    def offsets(self) -> dict[str, int]:
        """First row of each feature in the table of its width, by column name."""
        offsets, used = {}, dict.fromkeys(WIDTHS, 0)
        for f in self.categorical:
            offsets[f.column] = used[f.width]
            used[f.width] += f.rows
        return offsets

    @property
    def token_width(self) -> int:
        """k of Eq. 6: embeddings, dense numbers, upstream scores and their ranks."""
        embedded = sum(f.width for f in self.categorical)
        return embedded + len(self.dense) + 2 * len(self.upstream)

    @property
    def schema_hash(self) -> str:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class Columns(NamedTuple):
    """Requests as plain arrays: R requests, N candidates over all of them."""

    user: Mapping[str, np.ndarray]  # user.* and user_id, [R]
    item: Mapping[str, np.ndarray]  # item.*, upstream.* and item_id, [N]
    scenario: Sequence[str]  # [R]
    time_ms: np.ndarray  # [R]
    lengths: np.ndarray  # candidates of each request, [R]
