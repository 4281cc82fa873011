"""Simulated requests as a history, with the truth beside the samples and never in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from easq.history import History, Source, write_history
from easq.simulate.columns import feature_spec, sample_table
from easq.simulate.simulation import SimulationConfig, simulate
from easq.simulate.traffic import draw_requests
from easq.simulate.truth import truth_table
from easq.simulate.upstream import draw_upstream
from easq.simulate.world import draw_world

CHUNK_REQUESTS = 4096


def write_simulation(
    root: Path, config: SimulationConfig, progress: Callable[[int], None] = lambda done: None
) -> History:
    """Simulate all requests and write them as a history with truth.

    `progress` is told after each chunk how many requests it held.
    """
    world_seed, traffic_seed, chunk_seed = np.random.SeedSequence(config.seed).spawn(3)
    rng = np.random.default_rng(world_seed)
    world = draw_world(config.world, rng)
    upstream = draw_upstream(config.upstream, config.world.items, rng)
    requests = draw_requests(config.traffic, world, np.random.default_rng(traffic_seed))
    starts = range(0, config.traffic.requests, CHUNK_REQUESTS)
    samples, truth = [], []
    for start, seed in zip(starts, chunk_seed.spawn(len(starts)), strict=True):
        part = requests.part(start, start + CHUNK_REQUESTS)
        outcome = simulate(config, world, upstream, part, np.random.default_rng(seed))
        samples.append(sample_table(config, world, part, outcome, start))
        truth.append(truth_table(config.traffic, part, outcome, start))
        progress(len(part.user))
    source = Source(
        name="simulation", rows=config.traffic.requests, parameters=config.model_dump_json()
    )
    return write_history(
        root,
        "simulated",
        feature_spec(config),
        pa.concat_tables(samples),
        [source],
        truth=pa.concat_tables(truth),
    )
