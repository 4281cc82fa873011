"""The file of the SQLite log: how it is made, opened, read and written.

WAL: readers never wait for a writer; writers take turns with BEGIN IMMEDIATE.
"""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from easq.log.interface import MODELS, LogAwayError, LogError, LogFullError

FORMAT = 1
EVERY_OTHER = "*"
TABLES = f"""
CREATE TABLE width (topic TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE partition_end (
    topic TEXT, partition INTEGER, first INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE blob (
    topic TEXT, partition INTEGER, base INTEGER, n INTEGER NOT NULL, rows BLOB NOT NULL,
    PRIMARY KEY (topic, partition, base)
);
PRAGMA user_version = {FORMAT};
"""
WAL_BYTES = 64 << 20
RESERVE_BYTES = 8 << 20
"""Of the disk, kept by a file beside the log. A turn of retention takes less of the WAL."""
AWAY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
FULL = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_SHMSIZE,
)
_inherited: list[sqlite3.Connection] = []


class SqliteFile:
    """One connection a thread, none of them carried over a fork."""

    def __init__(self, path: Path, partitions: int, busy_seconds: float) -> None:
        self.path, self.busy_seconds = path, busy_seconds
        self._local = threading.local()
        with told():
            if not path.exists():
                _make(path, partitions)
            found = self.connection().execute("PRAGMA user_version").fetchone()[0]
        if found != FORMAT:
            raise LogError(f"{path} is not a log of format {FORMAT}: its user_version is {found}")

    def connection(self) -> sqlite3.Connection:
        pid, connection = getattr(self._local, "connection", (0, None))
        if connection is not None and pid != os.getpid():
            _inherited.append(connection)  # closing it here could harm the parent's
            connection = None
        if connection is None:
            connection = self._connect()
            self._local.connection = os.getpid(), connection
        return connection

    def _connect(self) -> sqlite3.Connection:
        uri = f"{self.path.as_uri()}?mode=rw"  # never makes an empty file
        connection = sqlite3.connect(uri, timeout=self.busy_seconds, isolation_level=None, uri=True)
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        connection.execute("PRAGMA secure_delete = OFF")  # some builds write zeros over what goes
        return connection

    def close(self) -> None:
        """Close this thread's connection; another use opens it again."""
        pid, connection = getattr(self._local, "connection", (0, None))
        self._local.connection = 0, None
        if connection is not None and pid == os.getpid():
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One moment of the file: a trim in between never looks like a hole."""
        with told(), self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self, durable: bool) -> Iterator[sqlite3.Connection]:
        with told():
            synchronous = "FULL" if durable else "NORMAL"
            self.connection().execute(f"PRAGMA synchronous = {synchronous}")
            with self._transaction("BEGIN IMMEDIATE") as connection:
                yield connection

    def keep_reserve(self) -> None:
        """Have some of the disk for the time when it is full, if there is so much now."""
        try:
            with self._reserve.open("xb") as file:
                file.write(bytes(RESERVE_BYTES))
        except FileExistsError:
            return
        except OSError:
            self._reserve.unlink(missing_ok=True)

    def spend_reserve(self) -> None:
        self._reserve.unlink(missing_ok=True)

    @property
    def _reserve(self) -> Path:
        return self.path.with_name(f"{self.path.name}.reserve")

    def vacuum(self, pages: int) -> None:
        """Cut free pages off the file, as far as no reader stands in the way."""
        with told():
            # A script: execute() would stop at the first page, as the pragma returns no column.
            self.connection().executescript(f"PRAGMA incremental_vacuum({pages})")
            self.connection().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        connection = self.connection()
        try:
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self.close()  # which rolls back, even where ROLLBACK itself would fail
            raise


def _make(path: Path, partitions: int) -> None:
    """A file is there whole or not at all; of several makers one wins, the others use its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            # Before the first table, or retention never shrinks the file.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {TABLES} COMMIT;")
            widths = [(MODELS, 1), (EVERY_OTHER, partitions)]
            connection.executemany("INSERT INTO width VALUES (?, ?)", widths)
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            return
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A new name outlives a power cut once its folder is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def told() -> Iterator[None]:
    """SQLite's errors in the log's words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in AWAY:  # the low byte is the error, the rest its kind
            raise LogAwayError(f"the log's file is locked: {error}") from error
        if error.sqlite_errorcode in FULL:
            raise LogFullError(f"the log's disk is full: {error}; free some of it") from error
        raise LogError(f"the log's file does not work: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LogError(f"the log's file does not work: {error}") from error
