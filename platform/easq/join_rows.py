"""Rows of a window -> one table: impressions as served, and what came of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import BEHAVIOURS, EFFECTIVE_SECONDS, LONG_SECONDS, Answer, reached
from easq.join_state import Watched
from easq.log.ipc import from_bytes
from easq.samples import EVERY_SAMPLE, SEALED

FEATURES = ("user.", "item.", "upstream.")
AS_SERVED = ("request_id", "user_id", "scenario", "request_time_ms", "item_id", "duration_seconds")
LOGGED = ("model_version", "model_seq", "propensity")
SEAL = "seal"
"""What stands for the kind of a sample where a window has none."""

MARK = 8
"""Bytes before the first message of an IPC stream: four of a mark, four of its length."""


class Given(NamedTuple):
    """An answer, at its item."""

    item_id: int
    answer: int
    time_ms: int


class Place(NamedTuple):
    """Where in the log an event stands, and from where on to read for the state before it."""

    input_offset: int
    resume_offset: int
    resume_watermark_ms: int


class Row(NamedTuple):
    """A sample before it is built."""

    kind: str
    request_id: str
    impression: bytes
    items: Mapping[int, Watched]  # what was seen of the request
    given: Given | None
    event_ids: list[str]
    place: Place


class Seal(NamedTuple):
    """What the rows of a window share."""

    window: int
    sealed_at_ms: int


def schema_bytes(impression: bytes) -> bytes:
    """The part of an impression that says its schema: equal for equal schemas."""
    return impression[: MARK + int.from_bytes(impression[4:MARK], "little")]


def is_impression(data: bytes) -> bool:
    """One row that has what a sample is made of."""
    try:
        table = from_bytes(data)
    except pa.ArrowInvalid:
        return False
    return table.num_rows == 1 and {*AS_SERVED, *LOGGED, "asked"} <= set(table.column_names)


def window_table(rows: Sequence[Row], seal: Seal) -> pa.Table:
    """Samples and SEALED columns of rows whose impressions have one schema, [rows]."""
    served = pa.concat_tables([from_bytes(row.impression) for row in rows]).combine_chunks()
    features = [f for f in served.schema if f.name.startswith(FEATURES)]
    columns = _sample(rows, served) | _sealed(rows, served, seal)
    columns |= {f.name: served.column(f.name) for f in features}
    schema = pa.schema([*EVERY_SAMPLE, *features, *SEALED])
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def empty_window(seal: Seal, place: Place) -> pa.Table:
    """The single row that stands for a window without rows."""
    row = {f.name: _nothing(f.type) for f in (*EVERY_SAMPLE, *SEALED)}
    row |= {"kind": SEAL, **seal._asdict(), **place._asdict()}
    return pa.Table.from_pylist([row], schema=pa.schema([*EVERY_SAMPLE, *SEALED]))


def _nothing(dtype: pa.DataType) -> object:
    if pa.types.is_list(dtype):
        return []
    return "" if pa.types.is_string(dtype) else 0


def _sample(rows: Sequence[Row], served: pa.Table) -> dict[str, pa.Array | pa.ChunkedArray]:
    lists = _Lists(served)
    duration = lists.values("duration_seconds")
    seen, watched, bits, answer, time_ms = lists.outcomes(rows)
    flags = {name: (bits >> i) & 1 == 1 for i, name in enumerate(BEHAVIOURS)}
    flags["effective_view"] |= seen & reached(watched, duration, EFFECTIVE_SECONDS)
    flags["long_view"] |= seen & reached(watched, duration, LONG_SECONDS)
    return {
        **{name: served.column(name) for name in AS_SERVED},
        "kind": pa.array([row.kind for row in rows], pa.string()),
        "exposed": lists.column("exposed", seen),
        "watched_seconds": lists.column("watched_seconds", watched),
        **{f"behaviour.{n}": lists.column(f"behaviour.{n}", flag) for n, flag in flags.items()},
        "answer": lists.column("answer", answer),
        "answer_time_ms": lists.column("answer_time_ms", time_ms),
    }


def _sealed(
    rows: Sequence[Row], served: pa.Table, seal: Seal
) -> dict[str, pa.Array | pa.ChunkedArray]:
    n = len(rows)
    places = np.array([row.place for row in rows], np.int64)
    return {
        **{name: pa.array(places[:, i]) for i, name in enumerate(Place._fields)},
        "window": pa.array(np.full(n, seal.window)),
        "window_row": pa.array(np.arange(n, dtype=np.int32)),
        "window_rows": pa.array(np.full(n, n, np.int32)),
        "sealed_at_ms": pa.array(np.full(n, seal.sealed_at_ms)),
        "event_ids": pa.array([row.event_ids for row in rows], pa.list_(pa.string())),
        **{name: served.column(name).cast(SEALED.field(name).type) for name in LOGGED},
    }


class _Lists:
    """The candidates of all rows, flat: R rows, N candidates."""

    def __init__(self, served: pa.Table) -> None:
        self.served = served
        self.offsets = self._list("item_id").offsets
        self.lengths = np.diff(self.offsets.to_numpy())
        self.num = int(self.lengths.sum())

    def _list(self, name: str) -> pa.ListArray:
        return self.served.column(name).combine_chunks()

    def values(self, name: str) -> np.ndarray:
        return self._list(name).flatten().to_numpy()

    def column(self, name: str, values: np.ndarray) -> pa.ListArray:
        """Flat values of a sample's column as lists."""
        dtype = EVERY_SAMPLE.field(name).type
        flat = pa.array(values, dtype.value_type)
        return pa.ListArray.from_arrays(self.offsets, flat, type=dtype)

    def outcomes(self, rows: Sequence[Row]) -> tuple[np.ndarray, ...]:
        """exposed, watched seconds, behaviour bits, answer, its time; [N] each."""
        seen = [(i, item, *w) for i, row in enumerate(rows) for item, w in row.items.items()]
        given = [(i, *row.given) for i, row in enumerate(rows) if row.given is not None]
        exposed = np.zeros(self.num, bool)
        watched, bits = np.zeros(self.num, np.float32), np.zeros(self.num, np.int64)
        answer, time_ms = np.full(self.num, Answer.NONE, np.int8), np.zeros(self.num, np.int64)
        if seen:
            row, item, seconds, actions = zip(*seen, strict=True)
            at, is_candidate = self.places(np.array(row), np.array(item))
            exposed[at] = True
            watched[at] = np.array(seconds, np.float32)[is_candidate]
            bits[at] = np.array(actions)[is_candidate]
        if given:
            row, item, answers, times = zip(*given, strict=True)
            at, is_candidate = self.places(np.array(row), np.array(item))
            answer[at] = np.array(answers)[is_candidate]
            time_ms[at] = np.array(times)[is_candidate]
        return exposed, watched, bits, answer, time_ms

    def places(self, row: np.ndarray, item: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where items stand among the candidates of their rows, and which do, bool [n]."""
        items = self.values("item_id")
        ids, code = np.unique(np.concatenate([items, item]), return_inverse=True)
        key = np.repeat(np.arange(len(self.lengths)), self.lengths) * len(ids) + code[: self.num]
        order = np.argsort(key, kind="stable")
        wanted = row * len(ids) + code[self.num :]
        at = np.searchsorted(key, wanted, sorter=order).clip(max=self.num - 1)
        is_candidate = key[order][at] == wanted
        return order[at][is_candidate], is_candidate
