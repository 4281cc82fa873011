"""The reader's side of topic `samples`: whole windows, in one order for all readers.

    reader = SealedReader(log)            # or SealedReader(log, position.offsets, position.number)
    while (window := reader.next()) is None:
        wait()                            # the reader never waits by itself
    learn(window.table)                   # sample columns + SEALED, 0 rows are possible
    keep(window.offsets, window.number)   # SealedReader(log, offsets, number + 1) reads on after it

Windows of several partitions are merged by the event time of their sealing, then by partition:
a window is next once every partition has a window to compare it with. So the order is a function
of the log alone, and partitions may seal at different rates without one falling behind.
"""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.log.interface import SAMPLES, Log, LogError, Rows


class SealedWindow(NamedTuple):
    number: int  # of all partitions' windows, in reading order
    table: pa.Table  # [rows], sample columns and easq.samples.SEALED
    offsets: dict[int, int]  # of each partition: rows below are of this window or an earlier one


class SealedReader:
    """Reads `samples` window by window.

    Args:
        offsets: of each partition, where to begin: `SealedWindow.offsets` by partition.
            None: with the oldest whole window that is kept.
        window: the number of the first window.

    Raises:
        TrimmedError: an offset is no longer kept.
        LogError: rows of a window are missing, or the log is of no use.
    """

    def __init__(self, log: Log, offsets: Sequence[int] | None = None, window: int = 0) -> None:
        self.log = log
        self.seek(offsets, window)

    def seek(self, offsets: Sequence[int] | None, window: int) -> None:
        """Read on from elsewhere; arguments as of the class."""
        partitions = range(self.log.partitions(SAMPLES))
        if offsets is None:
            offsets = [self.log.begin(SAMPLES, p) for p in partitions]
        if len(offsets) != len(partitions):
            raise ValueError(
                f"a position has one offset a partition: {len(partitions)} partitions, "
                f"{len(offsets)} offsets. Partitions of a log cannot change under its readers."
            )
        self.number = window
        self._partitions = [_Partition(self.log, p, offsets[p]) for p in partitions]

    def next(self) -> SealedWindow | None:
        """The next window, once it is known to be the next; None: not yet."""
        heads = [partition.head() for partition in self._partitions]
        if any(head is None for head in heads):
            return None
        times = [sealed_at_ms(head) for head in heads if head is not None]
        table = self._partitions[int(np.argmin(times))].take()
        number, self.number = self.number, self.number + 1
        return SealedWindow(number, table, {p.partition: p.taken for p in self._partitions})


def sealed_at_ms(window: pa.Table) -> int:
    return window.column("sealed_at_ms")[0].as_py()


def event_ids(table: pa.Table) -> list[str]:
    """Ids of the feedback events that rows of `samples` hold, each as often as it is held."""
    return table.column("event_ids").combine_chunks().flatten().to_pylist()


class _Partition:
    """The rows of one partition that were read and not yet taken."""

    def __init__(self, log: Log, partition: int, offset: int) -> None:
        self.log, self.partition = log, partition
        self.taken = self.read = offset
        self.rows: deque[Rows] = deque()
        self.last = self._place_before(offset)  # of the last row that was read
        self.expected: int | None = None  # the window that comes next
        self.whole: pa.Table | None = None

    def head(self) -> pa.Table | None:
        """All rows of the next window; a single one stands for an empty window."""
        while self.whole is None:
            self.whole = self._assembled()
            if self.whole is None and not self._read_more():
                return None
        return self.whole

    def take(self) -> pa.Table:
        """Remove the head, [rows of the window]."""
        window, self.whole = self.head(), None
        assert window is not None
        n = window.num_rows
        self.expected = window.column("window")[0].as_py() + 1
        while n:
            offsets, table = self.rows.popleft()
            cut = min(n, len(offsets))
            self.taken, n = int(offsets[cut - 1]) + 1, n - cut
            if cut < len(offsets):
                self.rows.appendleft(Rows(offsets[cut:], table.slice(cut)))
        return window.slice(0, window.column("window_rows")[0].as_py())

    def _place_before(self, offset: int) -> int:
        if offset <= self.log.begin(SAMPLES, self.partition):
            return -1
        rows = self.log.read(SAMPLES, self.partition, offset - 1, offset)
        return -1 if rows is None else int(places(rows.table)[-1])

    def _read_more(self) -> bool:
        rows = self.log.read(SAMPLES, self.partition, self.read)
        if rows is not None:
            self.read = int(rows.offsets[-1]) + 1
            self._keep(rows)
        return rows is not None

    def _keep(self, rows: Rows) -> None:
        """Leave out what two writers wrote twice, and the rest of a window cut by retention."""
        place = places(rows.table)
        before = np.maximum.accumulate(np.concatenate([[self.last], place[:-1]]))
        new = place > before
        if self.last < 0:
            new &= np.cumsum(place & ROW == 0) > 0
        if new.any():
            self.last = int(place[new][-1])
            table = rows.table if new.all() else rows.table.filter(pa.array(new))
            self.rows.append(Rows(rows.offsets[new], table))

    def _assembled(self) -> pa.Table | None:
        if not self.rows:
            return None
        n = max(self.rows[0].table.column("window_rows")[0].as_py(), 1)
        if sum(len(rows.offsets) for rows in self.rows) < n:
            return None
        window = _first(self.rows, n)
        self._check(window, n)
        return window

    def _check(self, window: pa.Table, n: int) -> None:
        place = places(window)
        number = int(place[0] >> ROW_BITS)
        expected = number if self.expected is None else self.expected
        if expected != number or not np.array_equal(place, (number << ROW_BITS) + np.arange(n)):
            raise LogError(
                f"samples[{self.partition}]: rows of window {expected} are missing "
                f"after offset {self.taken}. Trim whole windows, and let one joiner write."
            )


ROW_BITS = 32
ROW = (1 << ROW_BITS) - 1


def places(table: pa.Table) -> np.ndarray:
    """Window and row in it as one rising number, int64 [n]."""
    return (table.column("window").to_numpy() << ROW_BITS) + table.column("window_row").to_numpy()


def _first(rows: deque[Rows], n: int) -> pa.Table:
    tables, found = [], 0
    for _, table in rows:
        tables.append(table.slice(0, n - found))
        found += tables[-1].num_rows
        if found == n:
            break
    return pa.concat_tables(tables)
