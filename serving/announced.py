"""Topic `models` as a replica reads it: deltas one after another, from any window on."""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from easq.announcements import DELTA, DeltaHead
from easq.delta import read_head
from easq.delta_chain import Lineage
from easq.log.interface import MODELS, Log, Rows, TrimmedError

READ_ROWS = 8
"""Read at once: a delta is megabytes."""
REMEMBERED = 100_000
"""Places of deltas, to find those after a window without reading the log again."""


class Announced(NamedTuple):
    seq: int
    head: DeltaHead | ValueError
    """Or why it cannot be read."""
    payload: bytes | None


class _Passed(NamedTuple):
    seq: int
    run: str
    window: int


class AnnouncedDeltas:
    """A place in the topic, and what is known of the deltas before it."""

    def __init__(self, models: Log) -> None:
        self.models = models
        self.lineage = Lineage()
        self._offset: int | None = None  # None: where the log begins
        self._passed: deque[_Passed] = deque(maxlen=REMEMBERED)

    def seek(self, run: str | None, window: int) -> None:
        """Go on from the first delta that ends after a window."""
        later = (p.seq for p in self._passed if run in (None, p.run) and p.window > window)
        unread = self._passed[-1].seq + 1 if self._passed else None
        self._offset = next(later, unread)

    def read(self) -> Iterator[Announced]:
        """The deltas from here to the end of the log. Raises LogError."""
        while (rows := self._next_rows()) is not None:
            for seq, row in zip(rows.offsets.tolist(), rows.table.to_pylist(), strict=True):
                self._offset = seq + 1
                if row["kind"] == DELTA:
                    yield Announced(seq, self._noted(seq, row["body"]), row["payload"])

    def _next_rows(self) -> Rows | None:
        if self._offset is None:
            self._offset = self.models.begin(MODELS, 0)
        try:
            return self.models.read(MODELS, 0, self._offset, max_rows=READ_ROWS)
        except TrimmedError:  # a gap, which whoever applies the next delta will see
            self._offset = self.models.begin(MODELS, 0)
            return self.models.read(MODELS, 0, self._offset, max_rows=READ_ROWS)

    def _noted(self, seq: int, body: str) -> DeltaHead | ValueError:
        try:
            head = read_head(body)
        except ValueError as error:
            return error
        self.lineage.note(head)
        if not self._passed or seq > self._passed[-1].seq:
            self._passed.append(_Passed(seq, head.run, head.window))
        return head
