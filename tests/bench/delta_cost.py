"""What a delta costs, at 10^6 rows of 64 numbers, on one thread.

Usage: delta_cost.py BLOCKS      prints the figures of each block as JSON

Load: a window of 64 requests of 100 candidates, whose items and users are drawn from a Zipf law
of exponent 1.1 and hashed into the table, as ids are.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from easq.announcements import DeltaHead
from easq.delta import Delta, decode, encode, touched_rows
from easq.delta_chain import Chain, Lineage
from easq.state_digest import ServedWeights, StateDigest, TouchedRows

ROWS, WIDTH, MOVED = 10**6, 64, 10_000
REQUESTS, CANDIDATES, EXPONENT = 64, 100, 1.1
DENSE = {f"ranker.{i}": torch.randn(256, 64) for i in range(16)}  # 1 MB


def milliseconds(do: Callable[[], object]) -> float:
    since = time.thread_time()
    do()
    return 1e3 * (time.thread_time() - since)


def head(window: int, digest: str) -> DeltaHead:
    return DeltaHead(
        run="bench",
        incarnation=1,
        after_window=window - 1,
        window=window,
        schema_hash="s",
        digest=digest,
        payload_sha256="",
    )


def delta_to(digest: StateDigest, window: int, rows: TouchedRows) -> Delta:
    return Delta(head(window, digest.after(DENSE, {WIDTH: rows}).digest), DENSE, {WIDTH: rows})


def moved(rng: np.random.Generator) -> TouchedRows:
    ids = torch.from_numpy(np.sort(rng.choice(ROWS, MOVED, replace=False)))
    return TouchedRows(ids, torch.randn(MOVED, WIDTH))


def measured(chain: Chain, digest: StateDigest, rng: np.random.Generator) -> dict[str, float]:
    """A delta of 10,000 rows, and what copying its bytes takes."""
    delta = delta_to(digest, chain.place.window + 1, moved(rng))
    row = encode(delta, 0).to_pylist()[0]
    sent = DeltaHead.model_validate_json(row["body"])
    payload = np.frombuffer(row["payload"], np.uint8)
    room = np.empty_like(payload)
    copying = min(milliseconds(lambda: np.copyto(room, payload)) for _ in range(5))
    checked = milliseconds(lambda: decode(sent, row["payload"], chain.weights, "s"))
    stepped = time.thread_time()
    step = chain.step(0, sent, row["payload"], Lineage())
    stepped = 1e3 * (time.thread_time() - stepped)
    assert step is not None
    applied = milliseconds(lambda: chain.take(step))
    hashed = milliseconds(lambda: digest.take(digest.after(delta.dense, delta.rows)))
    return {
        "apply_ms": applied,
        "memcpy_ms": copying,
        "decode_ms": checked,
        "check_ms": stepped,
        "digest_ms": hashed,
    }


def zipf_share(rng: np.random.Generator, table: torch.Tensor) -> dict[str, float]:
    """Bytes of a window's delta beside those of what moved and of all served weights."""
    drawn = rng.zipf(EXPONENT, REQUESTS * (CANDIDATES + 1)).astype(np.uint64)
    ids = (drawn * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    touched = torch.zeros(ROWS, dtype=torch.bool)
    touched[torch.from_numpy((ids % np.uint64(ROWS)).astype(np.int64))] = True
    rows = touched_rows(table, touched)
    sent = encode(Delta(head(1, ""), DENSE, {WIDTH: rows}), 0).nbytes
    dense = 4 * sum(t.numel() for t in DENSE.values())
    what_moved = dense + 4 * rows.values.numel()
    return {
        "zipf_rows": len(rows.ids),
        "zipf_mb": sent / 1e6,
        "zipf_over_moved": sent / what_moved,
        "zipf_over_full": sent / (dense + 4 * table.numel()),
    }


def main(blocks: int) -> None:
    torch.set_num_threads(1)
    rng, table = np.random.default_rng(0), torch.randn(ROWS, WIDTH)
    weights = ServedWeights({n: t.clone() for n, t in DENSE.items()}, {WIDTH: table})
    chain, digest = Chain(weights, StateDigest(weights), 0, "s"), StateDigest(weights)
    full = milliseconds(lambda: StateDigest(weights))
    measured(chain, digest, rng)
    found = [measured(chain, digest, rng) for _ in range(blocks)]
    figures = {name: [block[name] for block in found] for name in found[0]}
    print(json.dumps({**figures, "full_digest_ms": full, **zipf_share(rng, table)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
