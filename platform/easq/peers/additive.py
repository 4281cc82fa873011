"""An additive model with context: logistic regression on every id, group and number."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from easq.peers.examples import Examples


class Additive:
    """Each feature adds its own weight to the log-odds; ridge holds rare ids near 0."""

    def __init__(self, inverse_ridge: float = 0.1) -> None:
        self.scaler = StandardScaler()
        self.model = LogisticRegression(C=inverse_ridge, max_iter=300, tol=1e-3)

    def fit(self, examples: Examples, target: np.ndarray) -> None:
        self.scaler.fit(examples.numbers)
        self.model.fit(self._matrix(examples), target)

    def score(self, examples: Examples) -> np.ndarray:
        return self.model.decision_function(self._matrix(examples))

    def _matrix(self, examples: Examples) -> sparse.csr_matrix:
        rows, features = examples.ids.shape
        starts = np.arange(rows + 1) * features
        ones = np.ones(rows * features)
        shape = (rows, examples.num_ids)
        ids = sparse.csr_matrix((ones, examples.ids.ravel(), starts), shape=shape)
        numbers = sparse.csr_matrix(self.scaler.transform(examples.numbers))
        return sparse.csr_matrix(sparse.hstack([ids, numbers]))
