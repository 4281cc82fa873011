"""What the users of one world did before the test and in it, as one file."""

from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from easq.experiment.table2 import UserSums


class Lived(NamedTuple):
    """Sums of the same users."""

    before: UserSums
    """Of the days before, when no arm differed."""
    during: UserSums

    def write(self, path: Path) -> None:
        """Both as [sum, user], in the order of the fields of `UserSums`."""
        before, during = (np.stack(sums) for sums in self)
        np.savez_compressed(path, before=before, during=during)

    @classmethod
    def read(cls, path: Path) -> Self:
        with np.load(path) as file:
            return cls(UserSums(*file["before"]), UserSums(*file["during"]))
