"""The days before the test, which the logging policy ranked for everybody.

Lines learn from them first, and each user's own are the pre-period of the user: no arm has touched
them (Deng, Xu, Kohavi and Walker, "Improving the Sensitivity of Online Controlled Experiments by
Utilizing Pre-Experiment Data", WSDM 2013).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from easq.experiment.crowd import sums_of
from easq.experiment.table2 import UserSums
from easq.simulate.chunks import chunks
from easq.simulate.simulation import Outcome, SimulationConfig
from easq.simulate.traffic import Requests
from easq.simulate.upstream import Upstream
from easq.simulate.world import World


class DaysBefore(NamedTuple):
    """What the logging policy's days came to."""

    usual: float  # mean z of what was shown: such pages leave mood and patience as they are
    sums: UserSums


def days_before(
    config: SimulationConfig,
    world: World,
    upstream: Upstream,
    tell: Callable[[Requests, Outcome], None] = lambda requests, outcome: None,
) -> DaysBefore:
    """Simulate the config's traffic; `tell` gets it in time order, some thousand at a time."""
    sums, shown = UserSums.nothing(len(world.users.activity)), []
    days: list[np.ndarray] = []
    for requests, outcome in chunks(config, world, upstream):
        tell(requests, outcome)
        sums = sums.plus(sums_of(requests, outcome, sums))
        shown.append(outcome.satisfaction[outcome.exposed])
        days.append(np.stack([requests.user, requests.day]))
    user, _ = np.unique(np.concatenate(days, axis=1), axis=1)
    came = np.bincount(user, minlength=len(sums.views)).astype(float)
    return DaysBefore(float(np.concatenate(shown).mean()), sums._replace(active_days=came))
