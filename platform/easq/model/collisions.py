"""How many rows two ids share: the price of hashing instead of a table of ids.

Each row keeps a fingerprint of the id that came first; a second fingerprint marks the row.
"""

import numpy as np
import torch
from torch import Tensor

from easq.encoding import hash_rows, hash_values
from easq.features import Columns, FeatureSpec

EMPTY, SHARED = 0, -1


class SeenIds:
    """A fingerprint a row: 0 nobody yet, -1 more than one id, else 1..32767."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.fingerprint = {
            f.width: torch.zeros(spec.table_rows(f.width), dtype=torch.int16)
            for f in spec.categorical
        }

    def observe(self, columns: Columns) -> None:
        """Note the ids of a window's user and item features."""
        for feature in self.spec.categorical:
            values = {**columns.user, **columns.item}.get(feature.column)
            if values is not None:
                rows = self.spec.offsets[feature.column] + hash_rows(feature, np.unique(values))
                prints = (hash_values(feature, np.unique(values)) >> np.uint64(49)).astype(np.int16)
                self._note(self.fingerprint[feature.width].numpy(), rows, np.maximum(prints, 1))

    @staticmethod
    def _note(known: np.ndarray, rows: np.ndarray, prints: np.ndarray) -> None:
        old = known[rows]
        known[rows] = np.where((old == EMPTY) | (old == prints), prints, SHARED)
        second = known[rows]  # two new ids of one row: the last write won, the other differs
        known[rows[(second != prints) & (second != SHARED)]] = SHARED

    def share(self, merged: dict[int, Tensor]) -> float:
        """Rows with more than one id, as a share of the rows in use."""
        used = sum(int((rows != EMPTY).sum()) for rows in merged.values())
        shared = sum(int((rows == SHARED).sum()) for rows in merged.values())
        return shared / max(used, 1)
