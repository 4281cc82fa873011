"""What every peer reads: the features that the ranker has, one row a candidate."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from easq.encoding import Inputs, encode
from easq.features import FeatureSpec
from easq.samples import Flat


class Examples(NamedTuple):
    """N candidates. Every feature has codes of its own among the `num_ids`."""

    item_id: Int[np.ndarray, "n"]
    ids: Int[np.ndarray, "n feature"]
    num_ids: int
    numbers: Float[np.ndarray, "n number"]

    @classmethod
    def of(cls, spec: FeatureSpec, flat: Flat) -> Self:
        inputs = encode(spec, flat.columns)
        used, codes = np.unique(_rows(spec, inputs), return_inverse=True)
        return cls(flat.columns.item["item_id"], codes, len(used), inputs.dense.numpy())

    def take(self, rows: Bool[np.ndarray, "n"]) -> Self:
        return self._replace(
            item_id=self.item_id[rows], ids=self.ids[rows], numbers=self.numbers[rows]
        )


def _rows(spec: FeatureSpec, inputs: Inputs) -> np.ndarray:
    """Ids of all features, the tables of all widths laid end to end, [N, features]."""
    request, first, columns = inputs.slots.request, 0, []
    for width in sorted({f.width for f in spec.categorical}):
        if (users := inputs.user_ids.get(width)) is not None:
            columns.append(users[request] + first)
        if (items := inputs.item_ids.get(width)) is not None:
            columns.append(items + first)
        first += spec.table_rows(width)
    return np.concatenate([column.numpy() for column in columns], axis=1)


class Peer(Protocol):
    """A method that is taught candidate by candidate, and scores each by itself."""

    def fit(self, examples: Examples, target: Bool[np.ndarray, "n"]) -> None: ...

    def score(self, examples: Examples) -> Float[np.ndarray, "n"]: ...


def prequential(
    make: Callable[[], Peer],
    examples: Examples,
    target: Bool[np.ndarray, "n"],
    day: Int[np.ndarray, "n"],
    told: Callable[[int, int], None] = lambda done, days: None,
) -> Float[np.ndarray, "n"]:
    """Scores of every day by a peer fitted on the days before it.

    All scores of a day are 0 where the past has not yet one positive and one negative.
    """
    scores = np.zeros(len(day))
    days = np.unique(day)
    for number, today in enumerate(days):
        past, now = day < today, day == today
        if 0 < target[past].sum() < past.sum():
            peer = make()
            peer.fit(examples.take(past), target[past])
            scores[now] = peer.score(examples.take(now))
        told(number + 1, len(days))
    return scores
