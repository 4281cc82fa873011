"""Windows: rows are collected, and sealed by event time or size."""

import math
from typing import NamedTuple

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from easq.join_rows import SEAL, Place, Row, Seal, empty_window, schema_bytes, window_table


class SealConfig(BaseModel):
    """When a window is full."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_seconds: float = Field(default=1.0, gt=0)
    """Event time from the first row of a window to its seal; with several partitions, from
    the seal before it, and windows may be empty."""
    window_requests: int = Field(default=4096, ge=1)

    @property
    def window_ms(self) -> int:
        return max(1, round(self.window_seconds * 1000))


class Written(NamedTuple):
    """The last row of the last whole window that a joiner before this one wrote.

    Clients name requests, so two may have one name and close at one event: what is in them tells
    them apart.
    """

    kind: str
    request_id: str
    event_ids: list[str]
    input_offset: int
    window: int
    sealed_at_ms: int
    resume_offset: int
    resume_watermark_ms: int

    @classmethod
    def of(cls, window: pa.Table) -> "Written":
        row = window.select(list(cls._fields)).slice(window.num_rows - 1).to_pylist()[0]
        return cls(**row)

    def is_of(self, row: Row) -> bool:
        mine = self.kind, self.request_id, self.event_ids, self.input_offset
        return mine == (row.kind, row.request_id, row.event_ids, row.place.input_offset)


class Sealer:
    """Seals windows, once it is past what was written before it was started.

    Args:
        several: partitions are several: windows are sealed when it is time, empty or not.
    """

    def __init__(self, config: SealConfig, several: bool, written: Written | None) -> None:
        self.config, self.several, self.written = config, several, written
        self.window = 0
        self.sealed: list[pa.Table] = []
        self.sealed_at_ms = 0
        self.rows: list[Row] = []
        self._deadline: float = math.inf
        self._schema = b""

    @property
    def is_silent(self) -> bool:
        """What comes out of the events was written before."""
        return self.written is not None

    def start(self, now: int) -> None:
        """The first event of all."""
        if self.several and not self.is_silent:
            self._deadline = now + self.config.window_ms

    def deadline(self, input_offset: int) -> float:
        """When, in event time, the window must be sealed."""
        if (last := self.written) is None:
            return self._deadline
        ends = last.kind == SEAL and last.input_offset == input_offset
        return last.sealed_at_ms if ends else math.inf

    def add(self, row: Row, now: int) -> None:
        """One more row at event time `now`."""
        if self.written is not None:
            last = self.written
            if last.is_of(row):
                self._go_on_after(last)
            return
        schema = schema_bytes(row.impression)
        if self.rows and schema != self._schema:
            self._seal_rows(now)
        if not self.rows and not self.several:
            self._deadline = now + self.config.window_ms
        self._schema = schema
        self.rows.append(row)
        if len(self.rows) >= self.config.window_requests:
            self._seal_rows(now)

    def seal(self, place: Place) -> None:
        """It is the deadline."""
        now = int(self.deadline(place.input_offset))
        if self.written is not None:
            self._go_on_after(self.written)
        elif self.rows:
            self._seal_rows(now)
        else:
            self.sealed.append(empty_window(Seal(self.window, now), place))
            self._next(now)

    def check(self, input_offset: int) -> None:
        """After each event."""
        if (last := self.written) is not None and input_offset >= last.input_offset:
            raise ValueError(
                f"events up to {input_offset} do not make window {last.window} of samples as it "
                "was written. Join with the settings that it was joined with, or into a new log."
            )

    def take(self) -> list[pa.Table]:
        """Windows sealed since the last call."""
        sealed, self.sealed = self.sealed, []
        return sealed

    def _seal_rows(self, now: int) -> None:
        self.sealed.append(window_table(self.rows, Seal(self.window, now)))
        self.rows = []
        self._next(now)

    def _next(self, sealed_at_ms: int) -> None:
        self.window, self.sealed_at_ms = self.window + 1, sealed_at_ms
        self._deadline = sealed_at_ms + self.config.window_ms if self.several else math.inf

    def _go_on_after(self, last: Written) -> None:
        self.written, self.window = None, last.window
        self._next(last.sealed_at_ms)
