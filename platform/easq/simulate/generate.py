"""Simulated requests as a history, with the truth beside the samples and never in them."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa

from easq.history import History, Source, write_history
from easq.simulate.columns import feature_spec, sample_table
from easq.simulate.seeds import CHUNKS, TRAFFIC, generator
from easq.simulate.simulation import Outcome, SimulationConfig, draw_surroundings, simulate
from easq.simulate.traffic import Requests, draw_requests
from easq.simulate.truth import truth_table
from easq.simulate.upstream import Upstream
from easq.simulate.visits import Page, VisitConfig, Visits, live
from easq.simulate.world import World

CHUNK_REQUESTS = 4096
Chunk = tuple[Requests, Outcome]


def write_simulation(
    root: Path, config: SimulationConfig, progress: Callable[[int], None] = lambda done: None
) -> History:
    """Simulate all requests and write them as a history with truth.

    `progress` is told after each chunk how many requests it held.
    """
    world, upstream = draw_surroundings(config)
    samples, truth, first = [], [], 0
    for part, outcome in chunks(config, world, upstream):
        samples.append(sample_table(config, world, part, outcome, first))
        truth.append(truth_table(config.traffic, part, outcome, first))
        first += len(part.user)
        progress(len(part.user))
    return write_history(
        root,
        "simulated",
        feature_spec(config),
        pa.concat_tables(samples),
        [Source(name="simulation", rows=first, parameters=config.model_dump_json())],
        truth=pa.concat_tables(truth),
    )


def chunks(config: SimulationConfig, world: World, upstream: Upstream) -> Iterator[Chunk]:
    """All requests and what came of them under the logging policy, some at a time."""
    if config.visits is not None:
        yield from _visited(config, config.visits, world, upstream)
        return
    requests = draw_requests(config.traffic, world, generator(config.seed, TRAFFIC))
    for number, start in enumerate(range(0, config.traffic.requests, CHUNK_REQUESTS)):
        part = requests.part(start, start + CHUNK_REQUESTS)
        rng = generator(config.seed, CHUNKS, number)
        yield part, simulate(config, world, upstream, part, rng)


def _visited(
    config: SimulationConfig, visits: VisitConfig, world: World, upstream: Upstream
) -> Iterator[Chunk]:
    done: list[Chunk] = []
    for _ in visited(config, visits, world, upstream, done.append):
        yield from done
        done.clear()


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
