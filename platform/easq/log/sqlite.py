"""The log in one SQLite file, for the processes of one machine (design: the log).

A blob holds the rows of one append: (base offset, n, Arrow IPC). WAL: readers never wait for
a writer; writers take turns with BEGIN IMMEDIATE.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from easq.log.interface import MAX_ROWS, LogAwayError, LogError, LogFullError, Rows, TrimmedError
from easq.log.ipc import from_bytes, to_bytes

BUSY_SECONDS = 10.0
TABLES = """
CREATE TABLE IF NOT EXISTS partition_end (
    topic TEXT, partition INTEGER, first INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blob (
    topic TEXT, partition INTEGER, base INTEGER, n INTEGER NOT NULL, rows BLOB NOT NULL,
    PRIMARY KEY (topic, partition, base)
);
"""


class SqliteLog:
    """A file that any number of processes and threads open; one connection a thread."""

    def __init__(self, path: Path, partitions: int = 1, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path, self._partitions, self.busy_seconds = path, partitions, busy_seconds
        path.parent.mkdir(parents=True, exist_ok=True)
        self._local = threading.local()
        with _told():
            # Before the first table, or retention never shrinks the file.
            self._connection().execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._connection().execute("PRAGMA journal_mode = WAL")
            self._connection().executescript(TABLES)

    def partitions(self, topic: str) -> int:
        return 1 if topic == "models" else self._partitions

    def append(
        self, topic: str, partition: int, rows: pa.Table, durable: bool = True
    ) -> np.ndarray:
        if not rows.num_rows:
            return np.zeros(0, np.int64)
        data, n = to_bytes(rows.combine_chunks()), rows.num_rows
        with _told(), self._writing(durable) as connection:
            base = self._bounds(connection, topic, partition)[1]
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
        with _told():
            connection = self._connection()
            first, after = self._bounds(connection, topic, partition)
            if start < first:
                raise TrimmedError(f"{topic}[{partition}] begins at {first}; {start} is trimmed")
            end = after if end is None else min(end, after)
            found = connection.execute(
                "SELECT base, n, rows FROM blob WHERE topic = ? AND partition = ? AND base >= "
                "(SELECT coalesce(max(base), 0) FROM blob WHERE topic = ? AND partition = ? "
                "AND base <= ?) AND base < ? ORDER BY base",
                (topic, partition, topic, partition, start, end),
            )
            return _rows(found, start, end, max_rows)

    def begin(self, topic: str, partition: int) -> int:
        with _told():
            return self._bounds(self._connection(), topic, partition)[0]

    def end(self, topic: str, partition: int) -> int:
        with _told():
            return self._bounds(self._connection(), topic, partition)[1]

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Whole blobs go; the one that `before` falls into stays."""
        with _told(), self._writing(durable=False) as connection:
            first, after = self._bounds(connection, topic, partition)
            key = (topic, partition, min(before, after))
            connection.execute(
                "DELETE FROM blob WHERE topic = ? AND partition = ? AND base + n <= ?", key
            )
            oldest = connection.execute(
                "SELECT min(base) FROM blob WHERE topic = ? AND partition = ?", key[:2]
            ).fetchone()[0]
            connection.execute(
                "UPDATE partition_end SET first = ? WHERE topic = ? AND partition = ?",
                (max(first, after if oldest is None else oldest), topic, partition),
            )
        with _told():
            self._connection().execute("PRAGMA incremental_vacuum").fetchall()

    def close(self) -> None:
        """Close this thread's connection; another use opens it again."""
        if (connection := getattr(self._local, "connection", None)) is not None:
            connection.close()
            self._local.connection = None

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self.path, timeout=self.busy_seconds, isolation_level=None)
            self._local.connection = connection
        return connection

    @contextmanager
    def _writing(self, durable: bool) -> Iterator[sqlite3.Connection]:
        connection = self._connection()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _bounds(
        self, connection: sqlite3.Connection, topic: str, partition: int
    ) -> tuple[int, int]:
        found = connection.execute(
            "SELECT first, next FROM partition_end WHERE topic = ? AND partition = ?",
            (topic, partition),
        ).fetchone()
        return found if found is not None else (0, 0)


def _rows(found: sqlite3.Cursor, start: int, end: int, max_rows: int) -> Rows | None:
    """Cut and join blobs until there are enough rows or the schema changes."""
    offsets: list[np.ndarray] = []
    tables: list[pa.Table] = []
    taken = 0
    for base, n, data in found:
        low, high = max(start, base), min(end, base + n)
        if low >= high:
            continue
        table = from_bytes(data).slice(low - base, high - low)
        if tables and table.schema != tables[0].schema:
            break
        offsets.append(np.arange(low, high))
        tables.append(table)
        taken += high - low
        if taken >= max_rows:
            break
    return Rows(np.concatenate(offsets), pa.concat_tables(tables)) if tables else None


@contextmanager
def _told() -> Iterator[None]:
    """SQLite's errors in the log's words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LogAwayError(f"the log's file is locked: {error}") from error
        if error.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE):
            raise LogFullError(f"the log's disk is full: {error}") from error
        raise LogError(str(error)) from error
    except sqlite3.DatabaseError as error:
        raise LogError(str(error)) from error
