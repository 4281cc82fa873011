"""A digest of the served weights that follows the rows that move.

It is a sum modulo 2^64, over all rows of all tensors, of a hash of (tensor, row number, bits of
the row): a state that k rows take to another has a digest that costs k rows. It finds what gets
lost, changed or mixed up on the way; it is no seal against forgers.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from easq.artefact import TRAINING_ONLY

ROWS = "rows."
BLOCK = 4096
"""Rows hashed at once; their bits stay in the cache."""
DENSE_LANE = 64
"""All dense weights are hashed as rows of so many numbers."""
ALL_ONES = 2**64 - 1


class TouchedRows(NamedTuple):
    """Rows of one table, by number."""

    ids: Tensor  # int64 [n], strictly rising
    values: Tensor  # float32 [n, w]


class ServedWeights(NamedTuple):
    """The weights that y-hat is made of, under the names that they have in a version."""

    dense: dict[str, Tensor]
    rows: dict[int, Tensor]  # [rows, w] by width w

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> "ServedWeights":
        """From `ranker.…` and `rows.<w>` of a learner, a checkpoint or a version."""
        served = {n: t for n, t in weights.items() if not n.startswith(TRAINING_ONLY)}
        return cls(
            {n: t for n, t in served.items() if not n.startswith(ROWS)},
            {int(n.removeprefix(ROWS)): t for n, t in served.items() if n.startswith(ROWS)},
        )


class DigestChange(NamedTuple):
    """From one state's digest to the next one's."""

    hashes: dict[int, tuple[np.ndarray, np.ndarray]]  # of each width: ids [k], uint64 [k]
    dense: int
    total: int

    @property
    def digest(self) -> str:
        return _shown(self.dense + self.total)


class StateDigest:
    """Keeps eight bytes a row, so that a change costs the rows that it touches."""

    def __init__(self, weights: ServedWeights) -> None:
        """Hash the whole state."""
        self._hashes = {
            w: row_hashes(f"{ROWS}{w}", np.arange(len(rows)), _numbers(rows))
            for w, rows in weights.rows.items()
        }
        self._dense = _dense_hash(weights.dense)
        self._total = sum(_sum(hashes) for hashes in self._hashes.values())

    @property
    def digest(self) -> str:
        """16 hexadecimal digits."""
        return _shown(self._dense + self._total)

    def after(self, dense: Mapping[str, Tensor], rows: Mapping[int, TouchedRows]) -> DigestChange:
        """What the digest becomes with these dense weights, which are all, and rows.

        Changes nothing; `take` does.
        """
        total, hashes = self._total, {}
        for width, (ids, values) in rows.items():
            numbers = ids.numpy()
            new = row_hashes(f"{ROWS}{width}", numbers, _numbers(values))
            total += _sum(new) - _sum(self._hashes[width][numbers])
            hashes[width] = (numbers, new)
        return DigestChange(hashes, _dense_hash(dense), total & ALL_ONES)

    def take(self, change: DigestChange) -> None:
        """Become the digest of the state after the change."""
        for width, (ids, new) in change.hashes.items():
            self._hashes[width][ids] = new
        self._dense, self._total = change.dense, change.total


def row_hashes(name: str, ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Of each row of a tensor, uint64 [n]; values float32 [n, w], w even, ids int64 [n]."""
    seed = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=8).digest(), np.uint64)
    lanes = values.view(np.uint64)
    bits = np.concatenate(
        [_bits(lanes[start : start + BLOCK]) for start in range(0, len(lanes), BLOCK)]
        or [np.zeros(0, np.uint64)]
    )
    return _mixed(bits ^ _mixed(ids.astype(np.uint64) + seed))


def _bits(lanes: np.ndarray) -> np.ndarray:
    """One number a row. Between two products the high half is folded onto the low one: without
    it, sign flips in two places would cancel."""
    first, second = _factors(lanes.shape[1])
    product = lanes * first
    product ^= product >> np.uint64(32)
    product *= second
    return product.sum(axis=1, dtype=np.uint64)


@cache
def _factors(lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """Odd factors, different for every place in a row: an odd factor loses no bit."""
    drawn = _mixed(np.arange(1, 2 * lanes + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    odd = drawn | np.uint64(1)
    return odd[:lanes], odd[lanes:]


def _mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: one to one, and every bit depends on every bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _dense_hash(dense: Mapping[str, Tensor]) -> int:
    """All dense weights in the order of their names, whose shapes the model fixes."""
    flat = torch.cat([_float32(dense[name]).flatten() for name in sorted(dense)])
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % DENSE_LANE))
    rows = padded.view(-1, DENSE_LANE).numpy()
    return _sum(row_hashes("ranker", np.arange(len(rows)), rows))


def _numbers(rows: Tensor) -> np.ndarray:
    return _float32(rows).numpy()


def _float32(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous()


def _sum(hashes: np.ndarray) -> int:
    return int(hashes.sum(dtype=np.uint64))


def _shown(number: int) -> str:
    return f"{number & ALL_ONES:016x}"
