"""What one worker gets of a sealed window.

Row i belongs to rank i mod world size. All ranks also get every answered row: answers are rare,
and so the answer memory of each worker holds everybody's without an exchange.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import Answer
from easq.history import Window


class WindowShare(NamedTuple):
    """One rank's rows of a window, and everybody's answered rows."""

    window: int
    num_windows: int
    day: str
    num_requests: int  # of the whole window
    rows: pa.Table  # this rank's samples, in order
    answered: pa.Table  # all answered samples of the window
    answered_rows: np.ndarray  # their row numbers in the window, int64


def share_of(
    table: pa.Table, window: Window, num_windows: int, rank: int, world_size: int
) -> WindowShare:
    """Cut a window's samples for one rank."""
    rows = np.arange(rank, table.num_rows, world_size)
    answered = answered_rows(table)
    return WindowShare(
        window.index,
        num_windows,
        window.day,
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
        }
    )


def unpack(row: pa.Table) -> WindowShare:
    """The share that `pack` made a row of; its tables are views of the row's memory."""
    value = {name: row.column(name)[0] for name in row.column_names}
    return WindowShare(
        value["window"].as_py(),
        value["num_windows"].as_py(),
        value["day"].as_py(),
        value["num_requests"].as_py(),
        pa.ipc.open_stream(value["rows"].as_buffer()).read_all(),
        pa.ipc.open_stream(value["answered"].as_buffer()).read_all(),
        np.frombuffer(value["answered_rows"].as_buffer(), np.int64),
    )


def _to_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()
