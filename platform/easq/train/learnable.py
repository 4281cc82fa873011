"""Requests that teach nothing are left out of a batch, and positions follow."""

import numpy as np
import torch

from easq.features import Columns
from easq.pairs import Pairs
from easq.samples import Flat
from easq.train.batch import PairTensors


def learnable(
    flat: Flat, pairs: list[Pairs], single: np.ndarray, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Requests that teach something, and the flat positions candidates have without the others.

    A request without a pair has no gradient; leaving it out saves its forward pass and keeps
    its rows from counting as touched. `single` are candidates that teach without a partner,
    `whole` requests [R] that do as they are.
    """
    used = whole.copy()
    request = flat.request
    for part in pairs:
        used[request[np.concatenate([part.preferred, part.other])]] = True
    used[request[single]] = True
    kept_candidates = used[request]
    return used, np.cumsum(kept_candidates) - 1


def renumbered(answered: np.ndarray, renumber: np.ndarray) -> np.ndarray:
    """Flat positions [answered] as they are in the batch; -1, another rank's, stays."""
    positions = answered.copy()
    own = answered >= 0
    positions[own] = renumber[answered[own]]
    return positions


def select(columns: Columns, kept: np.ndarray) -> Columns:
    """Columns of the kept requests [R] and their candidates only."""
    if kept.all():
        return columns
    of_candidate = np.repeat(kept, columns.lengths)
    return Columns(
        {name: values[kept] for name, values in columns.user.items()},
        {name: values[of_candidate] for name, values in columns.item.items()},
        [s for s, keep in zip(columns.scenario, kept, strict=True) if keep],
        columns.time_ms[kept],
        columns.lengths[kept],
    )


def pair_tensors(pairs: Pairs, renumber: np.ndarray | None) -> PairTensors:
    """Pairs for the model. `renumber` [candidate]: positions in the batch; None: as they are."""
    preferred, other = pairs.preferred, pairs.other
    if renumber is not None and len(preferred):
        preferred, other = renumber[preferred], renumber[other]
    return PairTensors(
        torch.from_numpy(preferred.astype(np.int64)),
        torch.from_numpy(other.astype(np.int64)),
        torch.from_numpy(pairs.weight),
    )
