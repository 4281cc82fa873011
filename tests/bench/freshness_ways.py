"""What a session's ledger, its log and its run say about each answer's way into a ranking."""

import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from easq.announcements import DELTA
from easq.artefact import ServedRanker
from easq.delta import read_head
from easq.delta_chain import Chain, Lineage
from easq.freshness import places
from easq.freshness_read import answers_freshness
from easq.ledger import AcceptedLine, read_ledger
from easq.log.interface import MODELS, SAMPLES, Log
from easq.log.scan import scan
from easq.state_digest import ServedWeights, StateDigest


class Way(NamedTuple):
    """Unix seconds of an answer at each hop, and seconds spent on its window."""

    accepted: float
    sealed: float  # event time: when its window was due
    announced: float
    used: float
    learning: float  # scoring, learning and announcing its window


class Announced(NamedTuple):
    """A delta of the log."""

    learnt: int  # samples below this offset
    window: int  # the last one in it
    at_seconds: float


def ways(ledger: Path, log: Log, windows: Path) -> list[Way]:
    """Of each answer that a ranking has used, in the order of acceptance. One partition."""
    accepted = {
        line.event_id: line.at_seconds
        for line in read_ledger(ledger)
        if isinstance(line, AcceptedLine)
    }
    place, sealed = _sealed(log)
    learning, deltas = _learning(windows), _announced(log)
    reached = np.array([delta.learnt for delta in deltas])
    found = []
    for event_id, seconds in answers_freshness(ledger, log).items():
        offset, since = place[event_id], accepted[event_id]
        delta = deltas[int(np.searchsorted(reached, offset, side="right"))]
        took = learning[delta.window]
        found.append(Way(since, sealed[offset], delta.at_seconds, since + seconds, took))
    return sorted(found)


def _sealed(log: Log) -> tuple[dict[str, int], dict[int, float]]:
    """The offset of each event in topic `samples`, and when the window there was sealed."""
    place, sealed = {}, {}
    for rows in scan(log, SAMPLES, 0):
        found = places(0, rows.offsets, rows.table)
        place |= {event_id: at.offset for event_id, at in found.items()}
        seconds = rows.table.column("sealed_at_ms").to_numpy() / 1000
        sealed |= dict(zip(rows.offsets.tolist(), seconds.tolist(), strict=True))
    return place, sealed


def _learning(windows: Path) -> dict[int, float]:
    """Seconds that each window took, without waiting for it."""
    lines = [json.loads(line) for line in windows.read_text().splitlines()]
    return {w["window"]: w["seconds"] - w["seconds_waiting"] for w in lines}


def _announced(log: Log) -> list[Announced]:
    found = []
    for rows in scan(log, MODELS, 0):
        for row in rows.table.select(["body", "made_at_ms", "kind"]).to_pylist():
            if row["kind"] == DELTA:
                head = read_head(row["body"])
                at = row["made_at_ms"] / 1000
                found.append(Announced(head.learnt[0], head.window - 1, at))
    return found


class Applied(NamedTuple):
    """Medians over a session's deltas, applied anew one after another."""

    seconds: float  # to check and to write
    megabytes: float
    rows: float
    over_touched: float  # bytes over those of the touched rows and the dense weights
    over_full: float  # bytes over those of all served weights


def applied(version: ServedRanker, log: Log) -> Applied:
    """Raises ValueError where no delta leads on from the version."""
    ranker = version.copy()
    weights = ServedWeights.of(ranker.weights())
    window, schema = ranker.file.position.next_window, ranker.spec.schema_hash
    chain = Chain(weights, StateDigest(weights), window, schema, ranker.file.run)
    dense = sum(t.nbytes for t in weights.dense.values())
    full = dense + sum(t.nbytes for t in weights.rows.values())
    found = []
    for rows in scan(log, MODELS, 0):
        for seq, row in zip(rows.offsets.tolist(), rows.table.to_pylist(), strict=True):
            if row["kind"] != DELTA:
                continue
            since = time.perf_counter()
            step = chain.step(seq, read_head(row["body"]), row["payload"], Lineage())
            if step is None:
                continue
            chain.take(step)
            took, size = time.perf_counter() - since, len(row["payload"])
            touched = dense + sum(values.nbytes for _, values in step.delta.rows.values())
            number = sum(len(ids) for ids, _ in step.delta.rows.values())
            found.append(Applied(took, size / 1e6, number, size / touched, size / full))
    if not found:
        raise ValueError(f"no delta of the log leads on from window {window}")
    return Applied(*np.median(np.array(found), axis=0).tolist())


def figures(found: list[Way], apply_seconds: float, began: float, seconds: float) -> dict:
    """Quantiles by block of so many seconds of acceptance, and where the time went over all."""
    way = np.array(found)
    accepted, sealed, announced, used, learning = way.T
    fresh = used - accepted
    hops = {
        "seal": np.maximum(sealed - accepted, 0),
        "join_and_learn": announced - np.maximum(sealed, accepted),
        "apply_and_ask": used - announced,
        "learning_alone": learning,
    }
    floor = hops["seal"] + learning + apply_seconds
    block = ((accepted - began) // seconds).astype(int)
    blocks = [block == k for k in np.unique(block)]

    def by_block(values: np.ndarray, q: float) -> list[float]:
        return [round(float(np.quantile(values[b], q)), 3) for b in blocks]

    return {
        **{f"p{q}": by_block(fresh, q / 100) for q in (50, 95)},
        **{f"floor_p{q}": by_block(floor, q / 100) for q in (50, 95)},
        "answers": len(fresh),
        "all": quantiles(fresh),
        "floor": quantiles(floor),
        "hops": {name: quantiles(values) for name, values in hops.items()},
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    p50, p95, most = np.quantile(values, (0.5, 0.95, 1)).round(3).tolist()
    return {"p50": p50, "p95": p95, "max": most}
