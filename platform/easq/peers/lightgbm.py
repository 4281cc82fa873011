"""Gradient-boosted trees (LightGBM, Ke et al., NIPS 2017) on ids, groups and numbers."""

import lightgbm
import numpy as np

from easq.peers.examples import Examples

FEW = 64
"""Values of a feature that trees may split by; a viewer's or a video's own id has no more to
tell a tree than its past rates, and overfits."""
ROUNDS = 200


class LightGbm:
    """Binary log-loss; one set of settings for every day and target, none of them searched."""

    def __init__(self, seed: int = 0) -> None:
        self.settings = {
            "objective": "binary",
            "learning_rate": 0.05,
            "num_leaves": 31,
            "min_data_in_leaf": 50,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }

    def fit(self, examples: Examples, target: np.ndarray) -> None:
        self.values = [np.unique(column) for column in examples.ids.T]
        self.few = [i for i, values in enumerate(self.values) if len(values) <= FEW]
        data = lightgbm.Dataset(
            self._matrix(examples),
            target.astype(np.float64),
            categorical_feature=list(range(len(self.few))),
        )
        self.booster = lightgbm.train(self.settings, data, ROUNDS)

    def score(self, examples: Examples) -> np.ndarray:
        return np.asarray(self.booster.predict(self._matrix(examples), raw_score=True))

    def _matrix(self, examples: Examples) -> np.ndarray:
        """Groups as 0, 1, 2, ... (a value that was never fitted is missing), then numbers."""
        groups = [_codes(self.values[i], examples.ids[:, i]) for i in self.few]
        return np.column_stack([*groups, examples.numbers])


def _codes(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    place = np.searchsorted(known, values).clip(max=len(known) - 1)
    return np.where(known[place] == values, place, np.nan)
