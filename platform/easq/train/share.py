"""What one worker gets of a sealed window.

Row i belongs to rank i mod world size. All ranks also get every answered row: answers are rare,
and so the answer memory of each worker holds everybody's without an exchange.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import Answer
from easq.history import Window

NOTHING_YET = -1


class WindowShare(NamedTuple):
    """One rank's rows of a window, and everybody's answered rows."""

    window: int
    num_windows: int  # of the history; those of the log are counted on from there
    day: str
    num_requests: int  # of the whole window
    rows: pa.Table  # this rank's samples, in order
    answered: pa.Table  # all answered samples of the window
    answered_rows: np.ndarray  # their row numbers in the window, int64
    offsets: Mapping[int, int] = MappingProxyType({})  # of the log, learnt once this window is
    sealed_at_ms: int = 0  # event time; 0 in a history and where a window is empty
    refused: str = ""  # why this run cannot learn the rows, whatever they hold

    @property
    def of_log(self) -> bool:
        return bool(self.offsets)


def share_of(
    table: pa.Table, window: Window, num_windows: int, rank: int, world_size: int
) -> WindowShare:
    """Cut a window of a history for one rank."""
    return cut(table, window.index, num_windows, window.day, rank, world_size)


def cut(
    table: pa.Table, window: int, num_windows: int, day: str, rank: int, world_size: int
) -> WindowShare:
    """Cut a window's samples for one rank."""
    rows = np.arange(rank, table.num_rows, world_size)
    answered = answered_rows(table)
    return WindowShare(
        window,
        num_windows,
        day,
        table.num_rows,
        table.take(rows) if world_size > 1 else table,
        table.take(answered),
        answered,
    )


def answered_rows(table: pa.Table) -> np.ndarray:
    """Numbers of the rows that hold an answer, int64."""
    column = table.column("answer").combine_chunks()
    request = column.value_parent_indices().to_numpy()
    return np.unique(request[column.flatten().to_numpy() != Answer.NONE]).astype(np.int64)


def pack(share: WindowShare) -> pa.Table:
    """A share as a table of one row, whose tables are Arrow IPC streams."""
    return pa.table(
        {
            "window": pa.array([share.window], pa.int64()),
            "num_windows": pa.array([share.num_windows], pa.int64()),
            "day": pa.array([share.day], pa.string()),
            "num_requests": pa.array([share.num_requests], pa.int64()),
            "rows": pa.array([_to_ipc(share.rows)], pa.large_binary()),
            "answered": pa.array([_to_ipc(share.answered)], pa.large_binary()),
            "answered_rows": pa.array([share.answered_rows.tobytes()], pa.large_binary()),
            "offsets": pa.array([json.dumps(dict(share.offsets))], pa.string()),
            "sealed_at_ms": pa.array([share.sealed_at_ms], pa.int64()),
            "refused": pa.array([share.refused], pa.string()),
        }
    )


def nothing_yet() -> pa.Table:
    """A row that says that the log has no further window at the moment."""
    nothing = pa.table({})
    return pack(WindowShare(NOTHING_YET, 0, "", 0, nothing, nothing, np.zeros(0, np.int64)))


def unpack(row: pa.Table) -> WindowShare | None:
    """The share that `pack` made a row of; its tables are views of the row's memory.

    None: `nothing_yet`.
    """
    value = {name: row.column(name)[0] for name in row.column_names}
    if value["window"].as_py() == NOTHING_YET:
        return None
    return WindowShare(
        value["window"].as_py(),
        value["num_windows"].as_py(),
        value["day"].as_py(),
        value["num_requests"].as_py(),
        pa.ipc.open_stream(value["rows"].as_buffer()).read_all(),
        pa.ipc.open_stream(value["answered"].as_buffer()).read_all(),
        np.frombuffer(value["answered_rows"].as_buffer(), np.int64),
        {int(p): offset for p, offset in json.loads(value["offsets"].as_py()).items()},
        value["sealed_at_ms"].as_py(),
        value["refused"].as_py(),
    )


def _to_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()
