"""What the users of one world did before the test and in it, as one file."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from easq.experiment.by_scenario import SCOPES, SumsByScenario
from easq.experiment.table2 import UserSums


class Lived(NamedTuple):
    """Sums of the same users."""

    before: SumsByScenario
    """Of the days before, when no arm differed."""
    during: SumsByScenario

    def write(self, path: Path) -> None:
        """Both as [scope, sum, user], in the orders of `SCOPES` and of the fields of `UserSums`."""
        before, during = (np.array([sums[name] for name in SCOPES]) for sums in self)
        np.savez_compressed(path, before=before, during=during)

    @classmethod
    def read(cls, path: Path) -> Self:
        def of(sums: np.ndarray) -> SumsByScenario:
            return {name: UserSums(*one) for name, one in zip(SCOPES, sums, strict=True)}

        with np.load(path) as file:
            return cls(of(file["before"]), of(file["during"]))
