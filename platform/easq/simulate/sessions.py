"""How long a visit lasts: a temper that each page wears down, the less the more it satisfies.

KuaiSim's temper with the page's true satisfaction in place of weighted behaviours.
"""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from easq.simulate.world import World


class SessionConfig(BaseModel):
    """How many pages viewers have patience for, on a day that they come."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pages: float = Field(default=4.75, gt=0)
    """Median number of pages of neutral satisfaction before a viewer of median activity leaves.
    With 8 videos a page: KuaiRec's plays of a user-day, quartiles 19 / 42 / 83, mean 66.5."""
    spread: float = Field(default=0.525, ge=0)
    """Of the log patience from day to day; activity spreads it between viewers."""
    wear: float = Field(default=0.3, ge=0)
    """How much less a page wears by the mean z of its videos above the usual."""


def patience(
    config: SessionConfig, world: World, user: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Pages of neutral satisfaction that each viewer is ready for today, [A]."""
    activity = world.users.activity[user] / np.median(world.users.activity)
    return config.pages * activity * rng.lognormal(sigma=config.spread, size=len(user))


def worn(config: SessionConfig, left: np.ndarray, satisfaction: np.ndarray) -> np.ndarray:
    """Patience left after a page so much more satisfying than usual, [A]; who has none leaves."""
    return left - np.clip(1 - config.wear * satisfaction, 0.2, 2.0)
