"""The data every benchmark is stated for: 10^6 rows of 64 numbers, 20 candidates a request.

Usage: reference.py OUT REQUESTS      writes a history of made-up requests
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from easq.events import BEHAVIOURS, Answer
from easq.features import Categorical, Dense, FeatureSpec
from easq.history import Source
from easq.history_write import write_history
from easq.samples import sample_schema

ROWS = 10**6
CANDIDATES = 20
IDS = 50_000
"""Users, and items; drawn by Zipf's law, so that batches share rows as real ones do."""
RATES = {"effective_view": 0.5, "long_view": 0.25, "like": 0.03, "profile_enter": 0.01}
OTHER_RATE = 0.002
ANSWERED_REQUESTS = 0.02
START_MS = 1_650_000_000_000


def features(rows: int) -> FeatureSpec:
    """Users and items share a table of `rows` rows, 64 wide."""
    return FeatureSpec(
        categorical=(
            Categorical(name="user_id", of="user", width=64, rows=rows // 2),
            *(Categorical(name=f"u{i}", of="user", width=8, rows=100) for i in range(3)),
            Categorical(name="hour", of="context", width=8, rows=24),
            Categorical(name="weekday", of="context", width=8, rows=7),
            Categorical(name="item_id", of="item", width=64, rows=rows // 2),
            Categorical(name="author_id", of="item", width=32, rows=20_000),
            Categorical(name="music_id", of="item", width=32, rows=20_000),
            *(Categorical(name=f"i{i}", of="item", width=8, rows=1000) for i in range(2)),
        ),
        dense=(
            *(Dense(name=f"x{i}", of="user") for i in range(3)),
            *(Dense(name=f"y{i}", of="item") for i in range(5)),
        ),
        upstream=("long_view", "like", "click"),
    )


def samples(
    requests: int, spec: FeatureSpec, seed: int = 0, candidates: int = CANDIDATES
) -> pa.Table:
    """Requests of one day in time order; viewers saw half of the candidates."""
    rng = np.random.default_rng(seed)
    values = _named(rng, requests, candidates)
    return pa.table(
        [_column(rng, field, requests, candidates, values) for field in sample_schema(spec)],
        schema=sample_schema(spec),
    )


def _named(rng: np.random.Generator, requests: int, candidates: int) -> dict[str, np.ndarray]:
    """Columns that mean something to the pairs; [R] or, by candidate, [R * candidates]."""
    size = requests * candidates
    exposed = rng.random(size) < 0.5
    duration = rng.uniform(5, 60, size)
    times = START_MS + np.arange(requests) * (86_000_000 // 2 // requests)
    answer = _answers(rng, exposed, candidates)
    return {
        "request_id": np.array([f"r{i:08d}" for i in range(requests)]),
        "user_id": _zipf(rng, requests),
        "scenario": np.full(requests, "main"),
        "request_time_ms": times,
        "kind": np.full(requests, "behaviour"),
        "item_id": _zipf(rng, size),
        "exposed": exposed,
        "duration_seconds": duration,
        "watched_seconds": np.where(exposed, duration * rng.random(size), 0),
        **{
            f"behaviour.{name}": exposed & (rng.random(size) < RATES.get(name, OTHER_RATE))
            for name in BEHAVIOURS
        },
        "answer": answer,
        "answer_time_ms": np.where(answer != Answer.NONE, np.repeat(times, candidates) + 500, 0),
    }


def _answers(rng: np.random.Generator, exposed: np.ndarray, candidates: int) -> np.ndarray:
    """At most one answer a request, about an exposed candidate."""
    chosen = np.argmax(rng.random((len(exposed) // candidates, candidates)), axis=1)
    position = np.arange(len(chosen)) * candidates + chosen
    position = position[exposed[position] & (rng.random(len(position)) < 2 * ANSWERED_REQUESTS)]
    answer = np.full(len(exposed), int(Answer.NONE))
    given = [Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED]
    answer[position] = rng.choice(given, len(position), p=[0.5, 0.2, 0.3])
    return answer


def _zipf(rng: np.random.Generator, size: int) -> np.ndarray:
    weight = 1 / np.arange(1, IDS + 1)
    return np.searchsorted(np.cumsum(weight / weight.sum()), rng.random(size) * (1 - 1e-9))


def _column(
    rng: np.random.Generator,
    field: pa.Field,
    requests: int,
    candidates: int,
    named: dict[str, np.ndarray],
) -> pa.Array:
    each = pa.types.is_list(field.type)
    dtype = field.type.value_type if each else field.type
    size = requests * candidates if each else requests
    if field.name in named:
        values = named[field.name]
    elif pa.types.is_floating(dtype):
        values = rng.random(size)
    else:
        values = rng.integers(0, 1000, size)
    array = pa.array(values).cast(dtype)
    offsets = pa.array(np.arange(requests + 1) * candidates, pa.int32())
    return pa.ListArray.from_arrays(offsets, array).cast(field.type) if each else array


def main(out: Path, requests: int) -> None:
    spec = features(ROWS)
    source = Source(name="reference", rows=requests)
    write_history(out, "reference", spec, samples(requests, spec), [source])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
