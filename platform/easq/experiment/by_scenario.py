"""What users did in all, and in each scenario: the paper tells of its two apart (EASQ, Table 2).

A page's scenario is drawn whoever ranks it, and users are of one arm in both. An active day of a
scenario is one on which the user saw a page of it.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool

from easq.experiment.table2 import UserSums
from easq.simulate.traffic import SCENARIOS

ALL = "all"
SCOPES = (ALL, *SCENARIOS)
SumsByScenario = dict[str, UserSums]
"""By SCOPES."""


def pages_by_scenario(explore: Bool[np.ndarray, "page"]) -> dict[str, np.ndarray]:
    """Which pages count, bool [page], by SCOPES."""
    return {ALL: np.ones_like(explore), "main": ~explore, "explore": explore}


def nothing_by_scenario(users: int) -> SumsByScenario:
    return {name: UserSums.nothing(users) for name in SCOPES}


def plus(some: Mapping[str, UserSums], more: Mapping[str, UserSums]) -> SumsByScenario:
    return {name: sums.plus(more[name]) for name, sums in some.items()}
