"""Days of visits: who comes, page after page until they leave, and what it does to tomorrow.

What is shown comes from outside, so that a logging policy, or a served model against another, can
be lived with.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from easq.simulate.returning import ReturnConfig, Viewers, after, come, settled
from easq.simulate.seeds import VISITS, generator
from easq.simulate.sessions import SessionConfig, patience, worn
from easq.simulate.traffic import DAY_MS, Requests
from easq.simulate.world import World


class VisitConfig(BaseModel):
    """Visits of viewers who leave and return by true satisfaction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    session: SessionConfig = SessionConfig()
    returning: ReturnConfig = ReturnConfig()
    usual: float = 0.3
    """Mean z of a page that leaves mood and patience as they are: that of the logging policy."""


class Page(NamedTuple):
    """What A viewers made of the page they were shown."""

    satisfaction: np.ndarray  # mean z of the videos shown, [A]
    watched_seconds: np.ndarray  # of all its videos, [A]
    views: np.ndarray  # number of videos shown, [A]


class Visits(NamedTuple):
    """One finished day."""

    came: np.ndarray  # bool [U]
    satisfaction: np.ndarray  # mean z of all pages of the day, NaN where absent, [U]
    pages: np.ndarray  # int [U]
    views: np.ndarray  # int [U]
    watched_seconds: np.ndarray  # [U]


Serve = Callable[[Requests], Page]
"""Shows each of some viewers, none twice, a page."""


def arrive(config: VisitConfig, world: World, seed: int) -> Viewers:
    """The viewers on the morning of the first day."""
    users = len(world.users.activity)
    return settled(config.returning, users, generator(seed, VISITS))


def live_day(
    config: VisitConfig,
    world: World,
    viewers: Viewers,
    day: int,
    explore: float,
    serve: Serve,
    seed: int,
) -> tuple[Viewers, Visits]:
    """One day of all viewers; `explore` is the share of pages in that scenario.

    Chance depends on seed, day, page and viewer alone: two ways to serve meet the same viewers.
    """
    rng = generator(seed, VISITS, day)
    users = len(viewers.mood)
    came = come(config.returning, viewers, rng)
    left = np.where(came, patience(config.session, world, np.arange(users), rng), 0.0)
    opens = day * DAY_MS + (rng.triangular(0.0, 20.0, 24.0, size=users) * 3_600_000)
    satisfied, watched = np.zeros(users), np.zeros(users)
    pages, views = np.zeros(users, np.int64), np.zeros(users, np.int64)
    while (here := np.flatnonzero(left > 0)).size:
        time_ms = np.minimum(opens + 1000 * watched, (day + 1) * DAY_MS - 1).astype(np.int64)
        in_explore = rng.random(users) < explore
        page = serve(Requests(here, in_explore[here], time_ms[here]))
        satisfied[here] += page.satisfaction
        watched[here] += page.watched_seconds
        pages[here] += 1
        views[here] += page.views
        left[here] = worn(config.session, left[here], page.satisfaction - config.usual)
    satisfaction = np.where(came, satisfied / np.maximum(pages, 1), np.nan)
    tomorrow = after(config.returning, viewers, satisfaction - config.usual)
    return tomorrow, Visits(came, satisfaction, pages, views, watched)


def live(
    config: VisitConfig, world: World, days: int, explore: float, serve: Serve, seed: int
) -> Iterator[Visits]:
    """Day after day."""
    viewers = arrive(config, world, seed)
    for day in range(days):
        viewers, visits = live_day(config, world, viewers, day, explore, serve, seed)
        yield visits
