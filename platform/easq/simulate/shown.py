"""How well what was shown satisfies, by the truth that only the simulator knows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from easq.metrics import ndcg, rank

TOP = 5


class Shown(NamedTuple):
    """A ranking over N candidates."""

    satisfaction: np.ndarray  # z, [N]
    expected: np.ndarray  # z as far as features could tell, [N]
    ranking: np.ndarray  # places among the candidates, best first, int [at most N]


class Satisfaction(NamedTuple):
    """Means over requests."""

    requests: int
    ndcg: float  # NDCG@5, gain 1 where satisfied; NaN where no request had such a candidate
    best_ndcg: float  # the same, had features told all that they can
    z: float  # mean z of the five shown first


def satisfaction_of(shown: Sequence[Shown], satisfied_above: float) -> Satisfaction:
    """Judge rankings of at least five places (or of all candidates).

    Raises ValueError when there is none.
    """
    if not shown:
        raise ValueError("there is no ranking to judge")
    z = np.concatenate([s.satisfaction for s in shown])
    request = np.repeat(np.arange(len(shown)), [len(s.satisfaction) for s in shown])
    good = z > satisfied_above

    def mean_ndcg(scores: np.ndarray) -> float:
        values = ndcg(rank(scores, good, request), TOP).values
        return float(values.mean()) if len(values) else float("nan")

    return Satisfaction(
        len(shown),
        mean_ndcg(np.concatenate([_by_place(s) for s in shown])),
        mean_ndcg(np.concatenate([s.expected for s in shown])),
        float(np.mean([s.satisfaction[s.ranking[:TOP]].mean() for s in shown])),
    )


def _by_place(shown: Shown) -> np.ndarray:
    """Scores that put the shown in their order, and all others below."""
    scores = np.full(len(shown.satisfaction), -np.inf)
    scores[shown.ranking] = -np.arange(len(shown.ranking), dtype=float)
    return scores
