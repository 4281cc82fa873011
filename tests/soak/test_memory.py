"""A loop that runs for long takes no more memory, and no more disk, than one that runs."""

import os
from collections import deque
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.announce import Announcer
from easq.delta_chain import Chain
from easq.events import ANSWER, BEHAVIOUR, EVENT, IMPRESSION
from easq.features import FeatureSpec
from easq.impression import logged_schema
from easq.join import JoinConfig
from easq.join_log import JoinedPartition
from easq.log.interface import EVENTS, Log
from easq.log.ipc import to_bytes
from easq.log.sqlite import SqliteLog
from easq.sealed import SealedReader
from easq.state_digest import ServedWeights, StateDigest
from easq.train.checkpoint import weights_of
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.tail import share_of_log
from serving.announced import AnnouncedDeltas

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

WARM, WINDOWS = 600, 1800
REQUESTS, ITEMS = 8, 5
START_MS, KEPT_WINDOWS = 1_000_000, 60
MOST_MEGABYTES = 12.0
JOIN = JoinConfig(feedback_seconds=5, token_seconds=30, window_seconds=1)


class Viewers:
    """A second of requests and of what came of those of the second before."""

    def __init__(self, log: Log, spec: FeatureSpec) -> None:
        self.log, self.schema = log, logged_schema(spec)
        self.rng, self.shown = np.random.default_rng(0), deque[tuple[int, str, int]](maxlen=32)

    def second(self, at_ms: int) -> None:
        for offset, request, item in self.shown:
            self._say(BEHAVIOUR, at_ms, offset, request, item, watched_seconds=9.0, behaviours=[])
        for offset, request, item in list(self.shown)[:2]:
            answer = int(self.rng.integers(1, 4))
            self._say(ANSWER, at_ms, offset, request, item, watched_seconds=9.0, answer=answer)
        self.shown.clear()
        for number in range(REQUESTS):
            self._show(at_ms, f"r{at_ms}-{number}")

    def _say(self, kind: str, at_ms: int, offset: int, request: str, item: int, **said) -> None:
        about = {"request_id": request, "impression_offset": offset, "item_id": item}
        self._append(kind, at_ms, f"{kind}-{request}-{item}", **about, **said)

    def _show(self, at_ms: int, request: str) -> None:
        # New users and items all the time, as in life.
        users, items = at_ms // 1000 + self.rng.integers(300), self.rng.integers(10**9, size=ITEMS)
        row = {
            "request_id": request,
            "user_id": int(users),
            "scenario": "main",
            "request_time_ms": at_ms,
            "item_id": items,
            "asked": [True] * ITEMS,
            "model_name": "easq-ranker",
        }
        for field in self.schema:
            row.setdefault(field.name, [1] * ITEMS if pa.types.is_list(field.type) else 0.5)
        impression = to_bytes(pa.Table.from_pylist([row], schema=self.schema))
        offset = self._append(IMPRESSION, at_ms, request, impression=impression)
        self.shown.extend((offset, request, int(item)) for item in items[:2])

    def _append(self, kind: str, at_ms: int, event_id: str, **fields) -> int:
        event = {"kind": kind, "event_id": event_id, "user_id": 1, "received_at_ms": at_ms}
        table = pa.Table.from_pylist([event | fields], schema=EVENT)
        return int(self.log.append(EVENTS, 0, table, durable=False)[0])


class Loop:
    """Joiner, trainer and replica, a window at a time, on one log."""

    def __init__(self, folder: Path, spec: FeatureSpec) -> None:
        self.log = SqliteLog(folder / "log.db")
        self.viewers = Viewers(self.log, spec)
        self.joiner = JoinedPartition(self.log, 0, JOIN)
        self.reader = SealedReader(self.log)
        tree = {
            "run": {"name": "soak", "storage": str(folder)},
            "data": {"history": str(folder)},
            "model": {"width": 16, "heads": 2},
            "pairs": {"window_days": 120 / 86_400},
        }
        self.learner = Learner(parse_config(tree, "test"), spec, torch.device("cpu"))
        weights = {n: t.clone() for n, t in weights_of(self.learner.state).items()}
        served = ServedWeights.of(weights)
        self.announcer = Announcer(self.log, "soak", 1, self.learner)
        self.chain = Chain(served, StateDigest(served), 0, spec.schema_hash, "soak")
        self.deltas = AnnouncedDeltas(self.log)
        self.now_ms = START_MS

    def run_until(self, window: int) -> None:
        while self.learner.next_window < window:
            self.viewers.second(self.now_ms)
            self.now_ms += 1000
            while self.joiner.step():
                pass
            while (sealed := self.reader.next()) is not None:
                self._learn(share_of_log(sealed, self.learner.spec, 0, 0, 1))

    def _learn(self, share) -> None:
        self.learner.score(share)
        self.learner.learn(share)
        self.announcer.announce(self.learner, share.offsets)
        for seq, head, payload in self.deltas.read():
            assert not isinstance(head, ValueError)
            step = self.chain.step(seq, head, payload, self.deltas.lineage)
            assert step is not None
            self.chain.take(step)
        if self.learner.next_window % KEPT_WINDOWS == 0:
            self.joiner.trim(self.now_ms - 1000 * KEPT_WINDOWS)
            self.announcer.forget(self.learner.next_window - KEPT_WINDOWS)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_a_long_run_has_flat_memory_and_a_bounded_log(tmp_path, spec, monkeypatch):
    # Or the deltas of an hour of wall time are kept.
    monkeypatch.setattr("easq.retention.KEPT_MS", 0)
    loop = Loop(tmp_path, spec)
    loop.run_until(WARM)
    disk, memory, places = loop.log.path.stat().st_size / 1e6, [], []
    for window in range(WARM, WINDOWS + 1, 100):
        loop.run_until(window)
        places.append(window)
        memory.append(resident_mb())
    slope = np.polyfit(places, memory, 1)[0]
    grown = loop.log.path.stat().st_size / 1e6 - disk
    print(f"memory {memory[0]:.0f} -> {memory[-1]:.0f} MB, {1e3 * slope:+.2f} MB a 1000 windows")
    print(f"log {disk:.1f} MB, {grown:+.1f} MB")
    assert loop.chain.place.window == WINDOWS
    assert len(loop.learner.memory.of_user) < 300
    assert slope * (WINDOWS - WARM) < MOST_MEGABYTES, memory
    assert grown < disk / 2
