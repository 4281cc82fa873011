"""The log in one SQLite file, for the processes of one machine (design: the log).

A blob holds the rows of one append: (base offset, n, Arrow IPC).
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa

from easq.log.interface import (
    MAX_BYTES,
    MAX_ROWS,
    LogFullError,
    Rows,
    TrimmedError,
    check_growth,
    no_such,
)
from easq.log.ipc import from_many, schema_bytes, to_bytes
from easq.log.sqlite_file import EVERY_OTHER, SqliteFile

BUSY_SECONDS = 10.0
BLOBS_A_TURN = 512
BYTES_A_TURN = 16 << 20
PAGES_A_TURN = 2048
"""Retention works in turns so short that writers get theirs in between."""


class SqliteLog:
    """A file that any number of processes and threads open. Pickled, it is its address."""

    def __init__(self, path: Path, partitions: int = 1, busy_seconds: float = BUSY_SECONDS) -> None:
        """`partitions` of each topic, if the file is made now; otherwise the file knows."""
        self.path, self._made_with, self.busy_seconds = path.absolute(), partitions, busy_seconds
        self._file = SqliteFile(self.path, partitions, busy_seconds)

    def __reduce__(self) -> tuple[type["SqliteLog"], tuple[Path, int, float]]:
        return SqliteLog, (self.path, self._made_with, self.busy_seconds)

    def partitions(self, topic: str) -> int:
        with self._file.reading() as connection:
            return _width(connection, topic)

    def add_partitions(self, topic: str, total: int) -> None:
        check_growth(topic)
        with self._file.writing(durable=True) as connection:
            if total > _width(connection, topic):
                connection.execute("REPLACE INTO width VALUES (?, ?)", (topic, total))

    def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool = True
    ) -> np.ndarray:
        if not rows.num_rows:
            return np.zeros(0, np.int64)
        data, n = to_bytes(rows.combine_chunks()), rows.num_rows
        with self._file.writing(durable) as connection:
            base = _bounds(connection, topic, partition)[1]
            connection.execute(
                "INSERT INTO blob VALUES (?, ?, ?, ?, ?)", (topic, partition, base, n, data)
            )
            connection.execute(
                "INSERT INTO partition_end VALUES (?, ?, 0, ?) ON CONFLICT "
                "DO UPDATE SET next = excluded.next",
                (topic, partition, base + n),
            )
        return np.arange(base, base + n)

    def read(
        self,
        topic: str,
        partition: int,
        start: int,
        end: int | None = None,
        max_rows: int = MAX_ROWS,
    ) -> Rows | None:
        with self._file.reading() as connection:
            first, after = _bounds(connection, topic, partition)
            if start < first:
                raise TrimmedError(f"{topic}[{partition}] begins at {first}; {start} is trimmed")
            end = after if end is None else min(end, after)
            if start >= end:
                return None
            found = connection.execute(
                "SELECT base, n, rows FROM blob WHERE topic = ? AND partition = ? AND base >= "
                "(SELECT coalesce(max(base), 0) FROM blob WHERE topic = ? AND partition = ? "
                "AND base <= ?) AND base < ? AND base + n > ? ORDER BY base",
                (topic, partition, topic, partition, start, end, start),
            )
            with closing(found):
                places, data = _together(found, start, max_rows)
        return _rows(places, data, start, end) if data else None

    def begin(self, topic: str, partition: int) -> int:
        with self._file.reading() as connection:
            return _bounds(connection, topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        with self._file.reading() as connection:
            return _bounds(connection, topic, partition)[1]

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Whole blobs go; the one that `before` falls into stays.

        The file shrinks until a fifth of it is free at most: free pages are used again. Even to
        forget takes room; on a full disk it is that of the reserve.
        """
        self._file.keep_reserve()
        while self._forget_in_any_case(topic, partition, before):
            pass
        while self._shrink():
            pass

    def close(self) -> None:
        """Close this thread's connection; another use opens it again."""
        self._file.close()

    def _forget_in_any_case(self, topic: str, partition: int, before: int) -> bool:
        try:
            return self._forget(topic, partition, before)
        except LogFullError:
            return self._forget(topic, partition, before, spend_reserve=True)

    def _forget(self, topic: str, partition: int, before: int, spend_reserve: bool = False) -> bool:
        """Forget the oldest blobs; whether some are left to forget."""
        with self._file.writing(durable=False) as connection:
            if spend_reserve:  # while no other writer can take the room
                self._file.spend_reserve()
            after = _bounds(connection, topic, partition)[1]
            gone = connection.execute(
                "SELECT base + n, length(rows) FROM blob WHERE topic = ? AND partition = ? "
                "AND base + n <= ? ORDER BY base LIMIT ?",
                (topic, partition, min(before, after), BLOBS_A_TURN),
            ).fetchall()
            if not gone:
                return False
            ends, sizes = zip(*gone, strict=True)
            turn = int(np.searchsorted(np.cumsum(sizes), BYTES_A_TURN)) + 1
            key = (ends[:turn][-1], topic, partition)
            connection.execute(
                "DELETE FROM blob WHERE base < ? AND topic = ? AND partition = ?", key
            )
            connection.execute(
                "UPDATE partition_end SET first = ? WHERE topic = ? AND partition = ?", key
            )
        return turn < len(gone) or len(gone) == BLOBS_A_TURN

    def _shrink(self) -> bool:
        """Give free pages back to the disk; whether there are many more."""
        with self._file.reading() as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        turn = min(PAGES_A_TURN, free - pages // 5)
        if turn > 0:
            self._file.vacuum(turn)
        return turn == PAGES_A_TURN


def _width(connection: sqlite3.Connection, topic: str) -> int:
    return connection.execute(
        "SELECT partitions FROM width WHERE topic IN (?, ?) ORDER BY topic = ? LIMIT 1",
        (topic, EVERY_OTHER, EVERY_OTHER),
    ).fetchone()[0]


def _bounds(connection: sqlite3.Connection, topic: str, partition: int) -> tuple[int, int]:
    """The oldest offset kept and the next one to give."""
    found = connection.execute(
        "SELECT first, next FROM partition_end WHERE topic = ? AND partition = ?",
        (topic, partition),
    ).fetchone()
    if found is not None:
        return found
    width = _width(connection, topic)
    if not 0 <= partition < width:
        raise no_such(topic, partition, width)
    return 0, 0


def _together(found: sqlite3.Cursor, start: int, max_rows: int) -> tuple[list[int], list[bytes]]:
    """Offsets and bytes of blobs of one schema, until there are enough of them."""
    offsets: list[int] = []
    data: list[bytes] = []
    size, head = 0, b""
    for base, n, blob in found:
        if not data:
            head, max_rows = schema_bytes(blob), max_rows + max(start - base, 0)
        elif not blob.startswith(head):
            break
        offsets.extend(range(base, base + n))
        data.append(blob)
        size += len(blob)
        if len(offsets) >= max_rows or size >= MAX_BYTES:
            break
    return offsets, data


def _rows(places: list[int], data: list[bytes], start: int, end: int) -> Rows:
    offsets = np.array(places, np.int64)
    low, high = np.searchsorted(offsets, [start, end])
    table = from_many(data)
    if high - low < len(offsets):  # slicing a table of small blobs takes as long as reading it
        offsets, table = offsets[low:high], table.slice(low, high - low)
    return Rows(offsets, table)
