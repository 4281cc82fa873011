"""The sample: one request with all its candidates, as served and as it turned out.

One row of the Arrow table is one request; list columns have one element a candidate. A
*behaviour* sample carries what the viewer did (and, in offline logs, the answers too); an
*answer* sample carries an answer that must not wait and is masked out of the main loss.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from easq.events import BEHAVIOURS
from easq.features import Columns, FeatureSpec

BEHAVIOUR_SAMPLE = "behaviour"
ANSWER_SAMPLE = "answer"


def _each(name: str, dtype: pa.DataType) -> pa.Field:
    return pa.field(name, pa.list_(pa.field("item", dtype, nullable=False)), nullable=False)


EVERY_SAMPLE = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("user_id", pa.int64(), nullable=False),
        pa.field("scenario", pa.string(), nullable=False),
        pa.field("request_time_ms", pa.int64(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        _each("item_id", pa.int64()),
        _each("exposed", pa.bool_()),
        _each("watched_seconds", pa.float32()),
        _each("duration_seconds", pa.float32()),
        *(_each(f"behaviour.{name}", pa.bool_()) for name in BEHAVIOURS),
        _each("answer", pa.int8()),
        _each("answer_time_ms", pa.int64()),
    ]
)
"""What every sample has, before its features."""


def sample_schema(spec: FeatureSpec) -> pa.Schema:
    """The Arrow schema of samples with these features. Times are Unix milliseconds."""

    def field(name: str, dtype: pa.DataType) -> pa.Field:
        return pa.field(name, dtype, nullable=False)

    named = set(EVERY_SAMPLE.names)
    ids = [f for f in spec.categorical if f.of != "context" and f.column not in named]
    user = [field(f.column, pa.int64()) for f in ids if f.of == "user"]
    item = [_each(f.column, pa.int64()) for f in ids if f.of == "item"]
    user += [field(f.column, pa.float32()) for f in spec.dense if f.of == "user"]
    item += [_each(f.column, pa.float32()) for f in spec.dense if f.of == "item"]
    item += [_each(f"upstream.{name}", pa.float32()) for name in spec.upstream]
    return pa.schema([*EVERY_SAMPLE, *user, *item])


def request_schema(spec: FeatureSpec) -> pa.Schema:
    """What of a sample is known when its request is ranked: ids, time and features."""
    known = {"user_id", "scenario", "request_time_ms", "item_id"}
    features = ("user.", "item.", "upstream.")
    fields = sample_schema(spec)
    return pa.schema([f for f in fields if f.name in known or f.name.startswith(features)])


def impression_schema(spec: FeatureSpec) -> pa.Schema:
    """A request as it was ranked: features as served, and what was decided about each candidate."""

    decided = [
        pa.field("request_id", pa.string(), nullable=False),
        _each("duration_seconds", pa.float32()),  # 0: unknown
        _each("score", pa.float32()),
        _each("asked", pa.bool_()),  # the client may show the questionnaire
        _each("propensity", pa.float32()),  # the probability with which it was asked about
        pa.field("model_version", pa.int64(), nullable=False),
        pa.field("model_seq", pa.int64(), nullable=False),  # offset of its last delta; -1: none
    ]
    return pa.schema([*request_schema(spec), *decided])


SEALED = pa.schema(
    [
        pa.field("window", pa.int64(), nullable=False),  # number of the window, from 0
        pa.field("window_row", pa.int32(), nullable=False),  # place in it
        pa.field("window_rows", pa.int32(), nullable=False),  # how many rows it has
        pa.field("sealed_at_ms", pa.int64(), nullable=False),  # event time
        pa.field("input_offset", pa.int64(), nullable=False),  # the event that made the row
        pa.field("resume_offset", pa.int64(), nullable=False),  # where its writer reads on from
        pa.field("resume_watermark_ms", pa.int64(), nullable=False),  # its event time there
        pa.field("event_ids", pa.list_(pa.string()), nullable=False),  # events that it holds
        pa.field("model_version", pa.int64(), nullable=False),  # that ranked the request
        pa.field("model_seq", pa.int64(), nullable=False),
        pa.field("propensity", pa.list_(pa.float32()), nullable=False),  # of being asked, [N]
    ]
)
"""What a row of topic `samples` has beside the columns of its sample."""


class Flat(NamedTuple):
    """A table of samples as flat arrays: R requests, N candidates."""

    columns: Columns
    request_id: pa.ChunkedArray  # [R]
    user_id: np.ndarray  # [R]
    is_behaviour: np.ndarray  # bool [R]
    exposed: np.ndarray  # bool [N]
    watched_seconds: np.ndarray  # [N]
    duration_seconds: np.ndarray  # [N]
    behaviours: dict[str, np.ndarray]  # bool [N] each
    answer: np.ndarray  # int8 [N]
    answer_time_ms: np.ndarray  # [N]

    @property
    def request(self) -> np.ndarray:
        """Which request each candidate belongs to, [N]."""
        return np.repeat(np.arange(len(self.user_id)), self.columns.lengths)


def flatten(table: pa.Table) -> Flat:
    """Arrow samples -> flat numpy arrays, without copying what needs no copy."""
    table = table.combine_chunks()
    values = {name: _values(table.column(name)) for name in table.column_names}
    columns = _columns(table, values)
    return Flat(
        columns,
        table.column("request_id"),
        values["user_id"],
        values["kind"] == BEHAVIOUR_SAMPLE,
        values["exposed"],
        values["watched_seconds"],
        values["duration_seconds"],
        {name: values[f"behaviour.{name}"] for name in BEHAVIOURS},
        values["answer"],
        values["answer_time_ms"],
    )


def request_columns(table: pa.Table) -> Columns:
    """Rows of `request_schema` as the feature code reads them."""
    table = table.combine_chunks()
    return _columns(table, {name: _values(table.column(name)) for name in table.column_names})


def _columns(table: pa.Table, values: dict[str, np.ndarray]) -> Columns:
    user = {n: v for n, v in values.items() if n == "user_id" or n.startswith("user.")}
    item = {
        n: v for n, v in values.items() if n == "item_id" or n.startswith(("item.", "upstream."))
    }
    lengths = np.diff(_list_column(table, "item_id").offsets.to_numpy()).astype(np.int64)
    scenario = table.column("scenario").to_pylist()
    return Columns(user, item, scenario, values["request_time_ms"], lengths)


def _list_column(table: pa.Table, name: str) -> pa.ListArray:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _values(column: pa.ChunkedArray) -> np.ndarray:
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if pa.types.is_list(array.type):
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False)


def check_samples(table: pa.Table) -> None:
    """What a schema cannot say: every request has candidates, lists agree, numbers are finite.

    Raises:
        ValueError: names the column and the first request that is wrong.
    """
    table = table.combine_chunks()
    if not table.num_rows:
        return
    offsets = _list_column(table, "item_id").offsets.to_numpy()
    lengths = np.diff(offsets)
    if not lengths.all():
        raise ValueError(f"{_request(table, lengths == 0)} has no candidates; leave it out")
    for name in table.column_names:
        column = _list_column(table, name)
        if pa.types.is_list(column.type):
            others = np.diff(column.offsets.to_numpy())
            if not np.array_equal(others, lengths):
                wrong = _request(table, others != lengths)
                raise ValueError(f"{name} of {wrong} has not one value a candidate (item_id)")
        values = _values(table.column(name))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            is_list = pa.types.is_list(column.type)
            request = np.repeat(np.arange(len(lengths)), lengths) if is_list else slice(None)
            bad = np.bincount(np.arange(len(lengths))[request], ~np.isfinite(values)) > 0
            raise ValueError(f"{name} of {_request(table, bad)} is not a finite number")


def _request(table: pa.Table, wrong: np.ndarray) -> str:
    first = int(np.flatnonzero(wrong)[0])
    return f"request {table.column('request_id')[first].as_py()!r} (row {first})"


class BehaviourOrder(BaseModel):
    """Which candidate a viewer preferred: many positives > one > none, hate below (EMER §1.3)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    positives: tuple[str, ...] = (
        "long_view",
        "like",
        "follow",
        "comment",
        "forward",
        "profile_enter",
    )
    negatives: tuple[str, ...] = ("hate",)
    many: int = Field(default=2, ge=1)
    """So many distinct positives are "many"; more of them make no further level."""

    @model_validator(mode="after")
    def _known(self) -> "BehaviourOrder":
        unknown = set(self.positives + self.negatives) - set(BEHAVIOURS)
        if unknown:
            raise ValueError(f"unknown behaviours {sorted(unknown)}: expected some of {BEHAVIOURS}")
        return self

    def levels(self, behaviours: dict[str, np.ndarray]) -> np.ndarray:
        """Level of each candidate, int [N]: -1 disliked, 0 no positive, 1 single, 2 many."""
        positives = sum(behaviours[name].astype(np.int64) for name in self.positives)
        disliked = np.logical_or.reduce([behaviours[name] for name in self.negatives])
        return np.where(disliked, -1, np.minimum(positives, self.many))
