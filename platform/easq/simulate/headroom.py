"""How much of true satisfaction each ranking finds: the room that behaviour leaves to EASQ.

A candidate's gain is 1 if it would satisfy (z > satisfied_above), else 0; NDCG@5 over all
candidates, mean over the requests that hold a satisfying one.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from scipy.special import logit

from easq.metrics import ndcg, rank
from easq.samples import Flat


def rankings(flat: Flat, truth: pa.Table, seed: int) -> dict[str, np.ndarray]:
    """Scores by name, [N] each, from what knows nothing of satisfaction to what knows all."""
    odds = {n: logit(v.astype(float)) for n, v in _upstream(flat).items()}
    z = truth_values(truth, "satisfaction")
    single = {f"upstream {name}": values for name, values in odds.items()}
    return {
        "random": np.random.default_rng(seed).random(len(z)),
        "logging policy": -truth_values(truth, "policy_place"),
        **single,
        "upstream, summed log-odds": np.sum(list(odds.values()), axis=0),
        "upstream, best linear mix (fitted to z)": _fitted(list(odds.values()), z),
        "expected z (the best a model can do)": truth_values(truth, "expected_satisfaction"),
        "oracle z": z,
    }


def headroom(flat: Flat, truth: pa.Table, satisfied_above: float, seed: int) -> dict[str, float]:
    """NDCG@5 of true satisfaction for each of `rankings`. `truth` is aligned with `flat`."""
    good = truth_values(truth, "satisfaction") > satisfied_above
    scores = rankings(flat, truth, seed)
    return {
        name: float(ndcg(rank(score, good, flat.request), 5).values.mean())
        for name, score in scores.items()
    }


def truth_values(truth: pa.Table, name: str) -> np.ndarray:
    """One column of the truth, flat, float64 [N]."""
    return truth.column(name).combine_chunks().flatten().to_numpy().astype(np.float64)


def _upstream(flat: Flat) -> Mapping[str, np.ndarray]:
    item = flat.columns.item
    return {n.removeprefix("upstream."): v for n, v in item.items() if n.startswith("upstream.")}


def _fitted(fields: list[np.ndarray], z: np.ndarray) -> np.ndarray:
    """Least squares on the truth itself: no fixed mix of these fields does clearly better."""
    X = np.stack([*fields, np.ones_like(z)], axis=1)
    return X @ np.linalg.lstsq(X, z, rcond=None)[0]
