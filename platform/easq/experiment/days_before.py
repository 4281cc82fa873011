"""The days before the test, which the logging policy ranked for everybody.

Lines learn from them first, and each user's own are the pre-period of the user: no arm has touched
them (Deng, Xu, Kohavi and Walker, "Improving the Sensitivity of Online Controlled Experiments by
Utilizing Pre-Experiment Data", WSDM 2013).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from easq.experiment.by_scenario import (
    SumsByScenario,
    nothing_by_scenario,
    pages_by_scenario,
    plus,
)
from easq.experiment.crowd import sums_by_scenario
from easq.simulate.chunks import chunks
from easq.simulate.simulation import Outcome, SimulationConfig
from easq.simulate.traffic import Requests
from easq.simulate.upstream import Upstream
from easq.simulate.world import World


class DaysBefore(NamedTuple):
    """What the logging policy's days came to."""

    usual: float  # mean z of what was shown: such pages leave mood and patience as they are
    sums: SumsByScenario


def days_before(
    config: SimulationConfig,
    world: World,
    upstream: Upstream,
    tell: Callable[[Requests, Outcome], None] = lambda requests, outcome: None,
) -> DaysBefore:
    """Simulate the config's traffic; `tell` gets it in time order, some thousand at a time."""
    users = len(world.users.activity)
    sums, shown, days = nothing_by_scenario(users), [], []
    for requests, outcome in chunks(config, world, upstream):
        tell(requests, outcome)
        sums = plus(sums, sums_by_scenario(requests, outcome, users))
        shown.append(outcome.satisfaction[outcome.exposed])
        days.append(np.stack([requests.user, requests.day, requests.explore]))
    came = _active_days(np.concatenate(days, axis=1), users)
    sums = {name: one._replace(active_days=came[name]) for name, one in sums.items()}
    return DaysBefore(float(np.concatenate(shown).mean()), sums)


def _active_days(seen: np.ndarray, users: int) -> dict[str, np.ndarray]:
    """Days with a page, [U], from user, day and whether it was `explore`, of every page [3, R]."""
    found = {}
    for name, counted in pages_by_scenario(seen[2] > 0).items():
        user, _ = np.unique(seen[:2, counted], axis=1)
        found[name] = np.bincount(user, minlength=users).astype(float)
    return found
