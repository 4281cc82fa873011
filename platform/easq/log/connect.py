"""Which engine a log's address names."""

from pathlib import Path

from easq.log.interface import Log
from easq.log.sqlite import SqliteLog

SQLITE = "sqlite:///"


def open_log(uri: str, partitions: int = 1) -> Log:
    """Open `sqlite:////absolute/file.db`, and make it if it is not there.

    Raises:
        ValueError: the address names no engine.
    """
    if uri.startswith(SQLITE) and uri != SQLITE:
        return SqliteLog(Path(uri.removeprefix(SQLITE)), partitions)
    raise ValueError(f"a log's address is sqlite:////absolute/file.db; got {uri!r}")


def partition_of(user_id: int, partitions: int) -> int:
    """Where all of a user's events go."""
    return user_id % partitions
