"""Handmade and random events, and a joiner that is fed with them."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from easq.events import ANSWER, BEHAVIOUR, BEHAVIOURS, EVENT, IMPRESSION, TICK, Answer
from easq.features import FeatureSpec
from easq.impression import logged_schema
from easq.join import JoinConfig, Joiner
from easq.log.interface import Rows
from easq.log.ipc import to_bytes
from easq.sealing import Written

QUICK = JoinConfig(feedback_seconds=10, window_seconds=1, window_requests=64, token_seconds=60)


class Script:
    """Events one after another; the offset of an event is its place."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.events: list[dict] = []
        self._table: pa.Table | None = None

    def add(self, kind: str, at_ms: int, event_id: str, **fields: object) -> int:
        event = {"kind": kind, "event_id": event_id, "user_id": 1, "received_at_ms": at_ms}
        self.events.append(event | fields)
        return len(self.events) - 1

    def shown(
        self,
        at_ms: int,
        request_id: str = "r",
        items: Sequence[int] = (1, 2, 3),
        asked: Sequence[int] = (1, 2, 3),
        duration: float = 100.0,
        expires_at_ms: int | None = None,
    ) -> int:
        """An impression; returns its offset, by which feedback speaks of it."""
        data = impression(self.spec, request_id, items, asked, duration, at_ms)
        token = {"expires_at_ms": expires_at_ms}
        return self.add(IMPRESSION, at_ms, request_id, impression=data, **token)

    def watched(
        self, at_ms: int, of: int, item: int, seconds: float, *behaviours: str, event_id: str = ""
    ) -> int:
        fields = {"watched_seconds": seconds, "behaviours": list(behaviours)}
        event_id = event_id or f"b{len(self.events)}"
        return self.add(BEHAVIOUR, at_ms, event_id, **self.about(of, item), **fields)

    def answered(
        self,
        at_ms: int,
        of: int,
        item: int,
        seconds: float | None = 9.0,
        answer: Answer = Answer.SATISFIED,
        event_id: str = "",
    ) -> int:
        fields = {"watched_seconds": seconds, "answer": int(answer)}
        event_id = event_id or f"a{len(self.events)}"
        return self.add(ANSWER, at_ms, event_id, **self.about(of, item), **fields)

    def tick(self, at_ms: int) -> int:
        return self.add(TICK, at_ms, "")

    def about(self, of: int, item: int) -> dict:
        shown = self.events[of]
        return {"request_id": shown["event_id"], "impression_offset": of, "item_id": item}

    def table(self) -> pa.Table:
        if self._table is None or self._table.num_rows != len(self.events):
            self._table = pa.Table.from_pylist(self.events, schema=EVENT)
        return self._table

    def rows(self, start: int = 0, end: int | None = None) -> Rows:
        table = self.table().slice(start, None if end is None else end - start)
        return Rows(np.arange(start, start + table.num_rows), table)

    def impression_at(self, offset: int) -> bytes:
        return self.events[offset]["impression"]

    def joiner(
        self, config: JoinConfig = QUICK, several: bool = False, written: Written | None = None
    ) -> Joiner:
        return Joiner(config, self.impression_at, several, written)

    def joined(self, config: JoinConfig = QUICK, several: bool = False) -> list[pa.Table]:
        """The windows that all events make."""
        return self.joiner(config, several).feed(self.rows())


def impression(
    spec: FeatureSpec,
    request_id: str,
    items: Sequence[int],
    asked: Sequence[int],
    duration: float,
    at_ms: int,
) -> bytes:
    """Features are functions of the item, so that a mix-up shows."""
    m = len(items)
    row = {
        "request_id": request_id,
        "user_id": 1,
        "scenario": "main",
        "request_time_ms": at_ms,
        "item_id": list(items),
        "duration_seconds": [duration] * m,
        "score": [0.0] * m,
        "asked": [item in asked for item in items],
        "propensity": [0.5 if item in asked else 0.0 for item in items],
        "model_name": "easq-ranker",
        "model_version": 3,
        "model_seq": 14,
    }
    for field in logged_schema(spec):
        is_list = pa.types.is_list(field.type)
        row.setdefault(field.name, [item % 10 for item in items] if is_list else 0.5)
    return to_bytes(pa.Table.from_pylist([row], schema=logged_schema(spec)))


def random_script(spec: FeatureSpec, seed: int, events: int, start_ms: int = 1_000_000) -> Script:
    """Everything that happens, duplicates, lateness, nonsense and pauses among it."""
    rng, script, now, shown = np.random.default_rng(seed), Script(spec), start_ms, []
    while len(script.events) < events:
        now += int(rng.choice([0, 5, 200, 3000, 30_000], p=[0.2, 0.5, 0.24, 0.05, 0.01]))
        at_ms = now - int(rng.integers(0, 400)) * int(rng.random() < 0.2)
        kind = rng.choice(["shown", "watched", "answered", "again", "tick"], p=KINDS)
        if kind == "tick":
            script.tick(at_ms)
        elif kind == "shown" or not shown:
            items = rng.choice(50, int(rng.integers(1, 6)), replace=False).tolist()
            asked = [item for item in items if rng.random() < 0.7]
            shown.append((script.shown(at_ms, f"r{len(shown)}", items, asked), items))
        else:
            _feedback(script, rng, kind, at_ms, shown)
    return script


KINDS = [0.25, 0.45, 0.15, 0.1, 0.05]


def _feedback(script: Script, rng: np.random.Generator, kind: str, at_ms: int, shown: list) -> None:
    back = int(min(rng.geometric(0.15), len(shown)))
    of, items = shown[-back]
    item, seconds = int(rng.choice([*items, 99])), float(rng.exponential(12.0))
    old = script.events[int(rng.integers(len(script.events)))]
    if kind == "again" and old["kind"] in (BEHAVIOUR, ANSWER):
        script.events.append(old | {"received_at_ms": at_ms})
    elif kind == "answered":
        script.answered(at_ms, of, item, seconds, Answer(int(rng.integers(1, 4))))
    else:
        actions = rng.choice(BEHAVIOURS, int(rng.integers(0, 3)), replace=False).tolist()
        script.watched(at_ms, of, item, seconds, *actions)


@pytest.fixture
def script(spec: FeatureSpec) -> Script:
    """An empty script, to be filled event by event."""
    return Script(spec)


@pytest.fixture(scope="session")
def new_script() -> Callable[[FeatureSpec], Script]:
    """new_script(spec) -> an empty script."""
    return Script


@pytest.fixture(scope="session")
def random_events() -> Callable[..., Script]:
    """random_events(spec, seed, events, start_ms=1_000_000) -> a script of all that happens."""
    return random_script


@pytest.fixture
def quick() -> JoinConfig:
    """10 s of feedback, windows of 1 s or 64 rows, tokens of a minute."""
    return QUICK
