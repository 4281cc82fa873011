"""One feature code for training and serving: raw columns of requests -> what the model reads.

Candidates of all requests are kept flat (no padding), so a padded slot can never touch an
embedding row. Ids are hashed with a salt per feature into that feature's own range of rows of
the table of its width (EASQ §5.1.4: 64, 32 or 8 wide).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from easq.features import HOUR_MS, WIDTHS, Categorical, Columns, FeatureSpec


class Slots(NamedTuple):
    """Where each flat candidate stands: in which request, at which position."""

    request: Int64[Tensor, "candidate"]
    position: Int64[Tensor, "candidate"]
    num_requests: int
    num_items: int  # of the longest request

    @property
    def is_full(self) -> bool:
        """Every request has as many candidates as the longest: nothing to pad."""
        return len(self.request) == self.num_requests * self.num_items

    def pad(self, flat: Float[Tensor, "candidate d"]) -> Float[Tensor, "request item d"]:
        if self.is_full:
            return flat.view(self.num_requests, self.num_items, -1)
        padded = flat.new_zeros(self.num_requests, self.num_items, flat.shape[-1])
        return padded.index_put((self.request, self.position), flat)

    def unpad(self, padded: Float[Tensor, "request item d"]) -> Float[Tensor, "candidate d"]:
        if self.is_full:
            return padded.flatten(0, 1)
        return padded[self.request, self.position]

    def mask(self) -> Bool[Tensor, "request item"]:
        """True where a candidate stands."""
        empty = torch.zeros(
            self.num_requests, self.num_items, dtype=torch.bool, device=self.request.device
        )
        return empty.index_put((self.request, self.position), torch.ones_like(self.request) > 0)

    @classmethod
    def of(cls, lengths: np.ndarray) -> "Slots":
        request = np.repeat(np.arange(len(lengths)), lengths)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        position = np.arange(len(request)) - first
        longest = int(lengths.max()) if len(lengths) else 0
        return cls(torch.from_numpy(request), torch.from_numpy(position), len(lengths), longest)


class Inputs(NamedTuple):
    """What the model reads. Ids are rows of the table of their width."""

    user_ids: dict[int, Int64[Tensor, "request field"]]
    item_ids: dict[int, Int64[Tensor, "candidate field"]]
    dense: Float[Tensor, "candidate d"]
    slots: Slots

    def to(self, device: torch.device, dtype: torch.dtype) -> "Inputs":
        slots = self.slots._replace(
            request=self.slots.request.to(device), position=self.slots.position.to(device)
        )
        return Inputs(
            {w: ids.to(device) for w, ids in self.user_ids.items()},
            {w: ids.to(device) for w, ids in self.item_ids.items()},
            self.dense.to(device, dtype),
            slots,
        )


def encode(spec: FeatureSpec, columns: Columns) -> Inputs:
    """Hash ids, rank upstream scores inside their request, and stack the numbers."""
    context = _context(spec, columns)
    slots = Slots.of(columns.lengths)
    return Inputs(
        _ids_by_width(spec, spec.users, {**columns.user, **context}),
        _ids_by_width(spec, spec.items, columns.item),
        torch.from_numpy(_numbers(spec, columns)),
        slots,
    )


def _context(spec: FeatureSpec, columns: Columns) -> dict[str, np.ndarray]:
    unknown = set(columns.scenario) - set(spec.scenarios)
    if unknown:
        raise ValueError(
            f"unknown scenario {sorted(unknown)}: this model knows {list(spec.scenarios)}"
        )
    hours = (columns.time_ms + int(spec.utc_offset_hours * HOUR_MS)) // HOUR_MS
    index = {name: i for i, name in enumerate(spec.scenarios)}
    return {
        "context.scenario": np.array([index[s] for s in columns.scenario], dtype=np.int64),
        "context.hour": hours % 24,
        "context.weekday": (hours // 24 + 3) % 7,  # 1 January 1970 was a Thursday; Monday = 0
    }


def hash_rows(feature: Categorical, values: np.ndarray) -> np.ndarray:
    """Row of each value inside the feature's own range."""
    return (hash_values(feature, values) % np.uint64(feature.rows)).astype(np.int64)


def hash_values(feature: Categorical, values: np.ndarray) -> np.ndarray:
    """splitmix64 of value xor the feature's salt, uint64."""
    x = values.astype(np.int64).view(np.uint64) ^ np.uint64(feature.salt)
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _ids_by_width(
    spec: FeatureSpec, features: Sequence[Categorical], values: Mapping[str, np.ndarray]
) -> dict[int, Tensor]:
    by_width = {}
    for width in WIDTHS:
        fields = [
            spec.offsets[f.column] + hash_rows(f, values[f.column])
            for f in features
            if f.width == width
        ]
        if fields:
            by_width[width] = torch.from_numpy(np.stack(fields, axis=1))
    return by_width


def _numbers(spec: FeatureSpec, columns: Columns) -> np.ndarray:
    """Dense features, upstream scores and their normalised ranks, [N, D] float32."""
    request = np.repeat(np.arange(len(columns.lengths)), columns.lengths)
    fields = [
        columns.item[f.column] if f.of == "item" else columns.user[f.column][request]
        for f in spec.dense
    ]
    for name in spec.upstream:
        score = columns.item[f"upstream.{name}"]
        fields += [score, normalised_ranks(score, request, columns.lengths)]
    if not fields:
        return np.zeros((len(request), 0), dtype=np.float32)
    return np.stack(fields, axis=1).astype(np.float32)


def normalised_ranks(score: np.ndarray, request: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Rank of each candidate in its request by falling score: best 0, worst 1, ties averaged.

    (rank - 1) / (M - 1), and 0 where a request has one candidate (EMER gives no rule for
    direction and ties; DECISIONS.md, "ranks").
    """
    if len(score) == 0:
        return np.zeros(0, dtype=np.float32)
    order = np.lexsort((-score, request))
    first = np.cumsum(lengths) - lengths
    position = np.arange(len(score)) - first[request[order]]
    starts = np.ones(len(score), dtype=bool)
    starts[1:] = (np.diff(score[order]) != 0) | (np.diff(request[order]) != 0)
    group = np.cumsum(starts) - 1
    tied = np.bincount(group, weights=position) / np.bincount(group)
    ranks = np.empty(len(score))
    ranks[order] = tied[group]
    return (ranks / np.maximum(lengths[request] - 1, 1)).astype(np.float32)
