"""What a client of the service has seen with its own eyes: rankings, and events accepted.

One JSON line each. An accepted event must come to be in topic `samples` exactly once.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self, TextIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from easq.events import ANSWER, BEHAVIOUR
from easq.log.interface import EVENTS, SAMPLES, Log
from easq.log.scan import scan


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    request_id: str
    at_seconds: float
    """Unix time by the client's clock when the response came."""


class RankedLine(Line):
    """A ranking, and the weights that made it."""

    kind: Literal["ranked"] = "ranked"
    version: int
    seq: int
    milliseconds: float


class AcceptedLine(Line):
    """An event whose acceptance the client has read; it may have sent it several times."""

    kind: Literal["accepted"] = "accepted"
    event_id: str
    event: Literal["behaviour", "answer"]


AnyLine = RankedLine | AcceptedLine
LINE: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="kind")])


class Ledger:
    """Writes lines to a new file, where they outlive the process.

    Raises FileExistsError where a ledger is already.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("x", encoding="utf-8")

    def write(self, lines: Iterable[AnyLine]) -> None:
        self._file.writelines(f"{line.model_dump_json()}\n" for line in lines)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_ledger(path: Path) -> Iterator[AnyLine]:
    """All whole lines; a last one without its end was cut off by a kill and never counted."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                yield LINE.validate_python(json.loads(line))


class Progress(NamedTuple):
    """What a partition of the log says about events; offsets are of topic `events`."""

    events: Mapping[str, int]  # behaviours and answers that are kept, by id: their first offset
    sealed: Counter[str]  # ids in samples, and how often
    decided_before: int  # the joiner never looks at lower offsets again


class Verdict(NamedTuple):
    """What became of accepted events."""

    once: int
    open: list[str]  # in the log; the joiner may still make a sample of them
    lost: list[str]  # passed over by the joiner, or not in the log at all
    twice: dict[str, int]  # how often
    unconfirmed: int  # in samples though no acceptance was read, as after a lost response


def verdict(accepted: Iterable[str], partitions: Iterable[Progress]) -> Verdict:
    """Is each accepted event in the samples exactly once?

    An event that the joiner rightly leaves out (behaviour after its feedback window) counts as
    lost: let viewers finish within the window.
    """
    ids = set(accepted)
    sealed: Counter[str] = Counter()
    waiting: set[str] = set()
    for part in partitions:
        sealed.update(part.sealed)
        waiting.update(i for i, offset in part.events.items() if offset >= part.decided_before)
    missing = ids - sealed.keys()
    return Verdict(
        once=sum(sealed[i] == 1 for i in ids),
        open=sorted(missing & waiting),
        lost=sorted(missing - waiting),
        twice={i: sealed[i] for i in sorted(ids) if sealed[i] > 1},
        unconfirmed=len(sealed.keys() - ids),
    )


def read_progress(log: Log, partition: int, decided: bool = False) -> Progress:
    """Read a whole partition of topics `samples` and `events`, in this order.

    `decided`: the joiner has drained, so nothing waits any more. Raises LogError.
    """
    sealed: Counter[str] = Counter()
    resume = 0
    for rows in scan(log, SAMPLES, partition):
        sealed.update(rows.table.column("event_ids").combine_chunks().flatten().to_pylist())
        resume = rows.table.column("resume_offset")[-1].as_py()
    events: dict[str, int] = {}
    end = log.end(EVENTS, partition)
    for rows in scan(log, EVENTS, partition):
        kinds, ids = (rows.table.column(name).to_pylist() for name in ("kind", "event_id"))
        for offset, kind, event_id in zip(rows.offsets.tolist(), kinds, ids, strict=True):
            if kind in (BEHAVIOUR, ANSWER):
                events.setdefault(event_id, offset)
    return Progress(events, sealed, end if decided else resume)
