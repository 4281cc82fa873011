"""Which engine a log's address names."""

from pathlib import Path

from easq.log.interface import Log, LogError
from easq.log.sqlite import SqliteLog

SQLITE, KAFKA = "sqlite:///", "kafka://"


def open_log(uri: str, partitions: int = 1) -> Log:
    """Open `sqlite:////absolute/file.db` or `kafka://host:port` (easq.log.kafka_address).

    What is not there is made, with so many partitions a topic; what is there keeps its own.

    Raises:
        ValueError: the address names no engine.
        LogError: the file is no log, or the extra `kafka` is not installed.
    """
    if uri.startswith(SQLITE) and uri != SQLITE:
        return SqliteLog(Path(uri.removeprefix(SQLITE)), partitions)
    if uri.startswith(KAFKA):
        return _open_kafka(uri, partitions)
    raise ValueError(
        f"a log's address is sqlite:////absolute/file.db or kafka://host:port; got {uri!r}"
    )


def _open_kafka(uri: str, partitions: int) -> Log:
    try:
        from easq.log.kafka import KafkaLog
    except ModuleNotFoundError as error:
        raise LogError(f"{uri} needs the extra: pip install '.[kafka]' in a checkout") from error
    from easq.log.kafka_address import kafka_address

    return KafkaLog(kafka_address(uri, partitions))


def partition_of(user_id: int, partitions: int) -> int:
    """Where all of a user's events go."""
    return user_id % partitions
