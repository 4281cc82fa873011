"""What came of all requests under the logging policy, a few thousand at a time."""

from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import NamedTuple

import numpy as np

from easq.simulate.seeds import CHUNKS, TRAFFIC, generator
from easq.simulate.simulation import Outcome, SimulationConfig, simulate
from easq.simulate.traffic import Requests, draw_requests
from easq.simulate.upstream import Upstream
from easq.simulate.visits import Page, VisitConfig, Visits, live
from easq.simulate.world import World

CHUNK_REQUESTS = 4096
Chunk = tuple[Requests, Outcome]


class Drawn(NamedTuple):
    """A world and its requests, all of which are known before the first is served."""

    config: SimulationConfig
    world: World
    upstream: Upstream
    requests: Requests


def draw(config: SimulationConfig, world: World, upstream: Upstream) -> Drawn:
    """The requests of a simulation without visits."""
    requests = draw_requests(config.traffic, world, generator(config.seed, TRAFFIC))
    return Drawn(config, world, upstream, requests)


def chunk(drawn: Drawn, number: int) -> Chunk:
    """Requests from `number` * CHUNK_REQUESTS on. The same, whatever was simulated before."""
    start = number * CHUNK_REQUESTS
    part = drawn.requests.part(start, start + CHUNK_REQUESTS)
    rng = generator(drawn.config.seed, CHUNKS, number)
    return part, simulate(drawn.config, drawn.world, drawn.upstream, part, rng)


def chunks(config: SimulationConfig, world: World, upstream: Upstream) -> Iterator[Chunk]:
    """All requests and what came of them."""
    if config.visits is not None:
        yield from chain.from_iterable(visited_days(config, config.visits, world, upstream))
        return
    drawn = draw(config, world, upstream)
    for number in range(-(-config.traffic.requests // CHUNK_REQUESTS)):
        yield chunk(drawn, number)


def visited_days(
    config: SimulationConfig, visits: VisitConfig, world: World, upstream: Upstream
) -> Iterator[list[Chunk]]:
    """The pages of each day, as they are shown."""
    pages: list[Chunk] = []
    for _ in visited(config, visits, world, upstream, pages.append):
        yield pages.copy()
        pages.clear()


def visited(
    config: SimulationConfig,
    visits: VisitConfig,
    world: World,
    upstream: Upstream,
    keep: Callable[[Chunk], None] = lambda chunk: None,
) -> Iterator[Visits]:
    """Days of viewers whom the logging policy serves; `keep` gets the pages as they are shown."""
    numbers = count()

    def serve(requests: Requests) -> Page:
        rng = generator(config.seed, CHUNKS, next(numbers))
        outcome = simulate(config, world, upstream, requests, rng)
        keep((requests, outcome))
        return page_of(outcome)

    return live(visits, world, config.traffic.days, config.traffic.explore, serve, config.seed)


def page_of(outcome: Outcome) -> Page:
    """What each viewer made of the videos shown to them."""
    request, shown = outcome.candidates.request, outcome.exposed
    rows = len(outcome.candidates.lengths)
    views = np.bincount(request, shown, rows).astype(np.int64)
    z = np.bincount(request, shown * outcome.satisfaction, rows) / views
    return Page(z, np.bincount(request, outcome.behaviour.watched_seconds, rows), views)
