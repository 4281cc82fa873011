"""What an impression costs on its way into the log, and how fast the log is read."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from easq.log.interface import EVENTS
from easq.log.ipc import to_bytes
from easq.log.sqlite import SqliteLog

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]
CANDIDATES, COLUMNS, APPENDS, BLOCKS = 64, 8, 200, 8


def impression(i: int) -> pa.Table:
    lists = {f"c{k}": [np.full(CANDIDATES, i + k, np.float32)] for k in range(COLUMNS)}
    return pa.table({"request_id": [f"r{i:09d}"], "user_id": [i], **lists})


def milliseconds(action: Callable[[pa.Table], object], rows: list[pa.Table]) -> np.ndarray:
    taken = []
    for row in rows:
        start = time.perf_counter()
        action(row)
        taken.append(1000 * (time.perf_counter() - start))
    return np.array(taken)


@pytest.mark.parametrize("durable", [False, True])
def test_an_append_beside_a_plain_file(tmp_path: Path, report, blocks, durable: bool) -> None:
    log = SqliteLog(tmp_path / "log.db")
    rows = [impression(i) for i in range(APPENDS)]
    plain, logged = [], []
    with (tmp_path / "plain").open("wb", buffering=0) as file:

        def write(row: pa.Table) -> None:
            file.write(to_bytes(row))
            if durable:
                os.fsync(file.fileno())

        for _ in range(BLOCKS):
            plain.append(milliseconds(write, rows))
            logged.append(milliseconds(lambda r: log.append(EVENTS, 0, r, durable), rows))
    for share in (50, 99):
        figures = blocks(
            [np.percentile(b, share) for b in logged], [np.percentile(b, share) for b in plain]
        )
        name = f"log append p{share}, {'durable' if durable else 'not durable'}"
        more = {"bytes": len(to_bytes(rows[0]))}
        report(name, figures, "ms", "write of the same bytes" + " and fsync" * durable, "", **more)


def test_reading_beside_reading_a_plain_file(tmp_path: Path, report, blocks) -> None:
    """The plain file is one Arrow table, written at once: no log could be faster."""
    log = SqliteLog(tmp_path / "log.db")
    rows = [impression(i) for i in range(4096)]
    for row in rows:
        log.append(EVENTS, 0, row, durable=False)
    whole = pa.concat_tables(rows).combine_chunks()
    (tmp_path / "plain").write_bytes(to_bytes(whole))
    plain, logged = [], []
    for _ in range(BLOCKS):
        start = time.perf_counter()
        table = pa.ipc.open_stream((tmp_path / "plain").read_bytes()).read_all()
        plain.append(table.num_rows / (time.perf_counter() - start))
        start = time.perf_counter()
        found = log.read(EVENTS, 0, 0)
        assert found is not None
        logged.append(found.table.num_rows / (time.perf_counter() - start))
    report("log read, one row an append", blocks(logged, plain), "rows/s", "one Arrow file", "")
