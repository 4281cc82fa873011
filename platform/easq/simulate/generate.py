"""Simulated requests as a history, with the truth beside the samples and never in them."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from easq.history import History, Source, write_history
from easq.simulate.columns import feature_spec, sample_table
from easq.simulate.seeds import CHUNKS, TRAFFIC, generator
from easq.simulate.simulation import SimulationConfig, draw_surroundings, simulate
from easq.simulate.traffic import draw_requests
from easq.simulate.truth import truth_table

CHUNK_REQUESTS = 4096


def write_simulation(
    root: Path, config: SimulationConfig, progress: Callable[[int], None] = lambda done: None
) -> History:
    """Simulate all requests and write them as a history with truth.

    `progress` is told after each chunk how many requests it held.
    """
    world, upstream = draw_surroundings(config)
    requests = draw_requests(config.traffic, world, generator(config.seed, TRAFFIC))
    samples, truth = [], []
    for chunk, start in enumerate(range(0, config.traffic.requests, CHUNK_REQUESTS)):
        part = requests.part(start, start + CHUNK_REQUESTS)
        rng = generator(config.seed, CHUNKS, chunk)
        outcome = simulate(config, world, upstream, part, rng)
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
