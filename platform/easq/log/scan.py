"""All rows of a partition, as they are kept now."""

from collections.abc import Iterator

from easq.log.interface import Log, Rows


def scan(log: Log, topic: str, partition: int) -> Iterator[Rows]:
    """Raises TrimmedError when retention overtakes the reader."""
    start = log.begin(topic, partition)
    while (rows := log.read(topic, partition, start)) is not None:
        yield rows
        start = int(rows.offsets[-1]) + 1
