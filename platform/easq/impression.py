"""A request as it was ranked, as a row of topic `events`."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import EVENT, IMPRESSION
from easq.features import Columns, FeatureSpec
from easq.log.ipc import to_bytes
from easq.samples import impression_schema


class Shown(NamedTuple):
    """What was decided about one request of N candidates."""

    request_id: str
    columns: Columns  # features as served
    duration_seconds: np.ndarray  # float32 [N], 0: unknown
    score: np.ndarray  # float32 [N]
    asked: np.ndarray  # bool [N]
    propensity: np.ndarray  # float32 [N], of being asked
    model_version: int
    model_seq: int  # offset of its last delta; -1: none
    model_name: str


MODEL_NAME = pa.field("model_name", pa.string(), nullable=False)
"""The line that ranked, which impressions of an older release do not name."""


def logged_schema(spec: FeatureSpec) -> pa.Schema:
    """Of impressions as they are logged: `easq.samples.impression_schema` and the line."""
    return impression_schema(spec).append(MODEL_NAME)


def impression_table(shown: Shown, schema: pa.Schema) -> pa.Table:
    """One row of `logged_schema`."""
    columns = shown.columns
    values = {**shown._asdict(), **columns.user, **columns.item}
    values |= {"scenario": columns.scenario, "request_time_ms": columns.time_ms}
    offsets = pa.array([0, len(shown.score)], pa.int32())
    return pa.table([_column(f, values[f.name], offsets) for f in schema], schema=schema)


def _column(field: pa.Field, value: object, offsets: pa.Array) -> pa.Array:
    if pa.types.is_list(field.type):
        array = pa.array(value, field.type.value_type)
        return pa.ListArray.from_arrays(offsets, array, type=field.type)
    one = value if isinstance(value, np.ndarray | list | tuple) else [value]
    return pa.array(one, field.type)


def impression_event(
    shown: Shown, schema: pa.Schema, received_at_ms: int, expires_at_ms: int
) -> pa.Table:
    """One row of `easq.events.EVENT`."""
    row = {
        "kind": IMPRESSION,
        "event_id": shown.request_id,
        "user_id": int(shown.columns.user["user_id"][0]),
        "received_at_ms": received_at_ms,
        "request_id": shown.request_id,
        "expires_at_ms": expires_at_ms,
        "impression": to_bytes(impression_table(shown, schema)),
    }
    return pa.table([pa.array([row.get(f.name)], f.type) for f in EVENT], schema=EVENT)
