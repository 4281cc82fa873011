"""All rows of a partition, as they are kept now."""

from collections.abc import Iterator

from easq.log.interface import MAX_ROWS, MODELS, Log, Rows

MAX_ANNOUNCEMENTS = 8
"""Read at once: a delta is megabytes."""


def scan(log: Log, topic: str, partition: int) -> Iterator[Rows]:
    """Raises TrimmedError when retention overtakes the reader."""
    start = log.begin(topic, partition)
    most = MAX_ANNOUNCEMENTS if topic == MODELS else MAX_ROWS
    while (rows := log.read(topic, partition, start, max_rows=most)) is not None:
        yield rows
        start = int(rows.offsets[-1]) + 1
