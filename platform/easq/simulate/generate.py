"""Simulated requests as a history, with the truth beside the samples and never in them.

A day is simulated and written before the next. Days of independent requests need nothing of each
other, so they can also be written beside each other, with the same bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.history import History, Source
from easq.history_folder import building, complete
from easq.history_write import DayTables, WrittenDay, describe, write_days
from easq.simulate.chunks import CHUNK_REQUESTS, Chunk, Drawn, chunk, draw, visited_days
from easq.simulate.columns import feature_spec, sample_table
from easq.simulate.simulation import SimulationConfig, draw_surroundings
from easq.simulate.traffic import DAY_MS, Requests
from easq.simulate.truth import truth_table
from easq.simulate.world import World

Progress = Callable[[int], None]
"""Told after each part of a day how many requests it held."""
WriteDays = Callable[[Path, SimulationConfig, Progress], Sequence[WrittenDay]]
"""Writes all days of a simulation into a folder, and describes them in order."""


class Part(NamedTuple):
    """A row a request in both."""

    samples: pa.Table
    truth: pa.Table


def in_turn(folder: Path, config: SimulationConfig, progress: Progress) -> Sequence[WrittenDay]:
    """Days one after the other, in this process."""
    return write_simulated(folder, config, range(config.traffic.days), progress)


def write_simulation(
    root: Path,
    config: SimulationConfig,
    progress: Progress = lambda done: None,
    write: WriteDays = in_turn,
) -> History:
    """Simulate all requests and write them as a history with truth."""
    with building(root) as folder:
        days = write(folder, config, progress)
        sources = [simulated_source(config, days)]
        return complete(root, folder, describe("simulated", feature_spec(config), days, sources))


def simulated_source(config: SimulationConfig, days: Sequence[WrittenDay]) -> Source:
    """Where these days came from."""
    rows = sum(written.day.requests for written in days)
    return Source(name="simulation", rows=rows, parameters=config.model_dump_json())


def write_simulated(
    folder: Path,
    config: SimulationConfig,
    days: range,
    progress: Progress = lambda done: None,
) -> list[WrittenDay]:
    """Simulate and write some days, counted from 0; one without requests is left out."""
    world, upstream = draw_surroundings(config)
    if config.visits is None:
        return write_independent(folder, draw(config, world, upstream), days, progress)
    pages = visited_days(config, config.visits, world, upstream)
    return write_days(folder, feature_spec(config), _visited(config, world, pages, days, progress))


def write_independent(
    folder: Path, drawn: Drawn, days: range, progress: Progress = lambda done: None
) -> list[WrittenDay]:
    """The same where no day depends on another: only their own chunks are simulated."""
    return write_days(folder, feature_spec(drawn.config), _independent(drawn, days, progress))


def _independent(drawn: Drawn, days: range, progress: Progress) -> Iterator[DayTables]:
    # The chunk at a midnight is asked for by two days, one right after the other.
    tables = lru_cache(maxsize=1)(partial(_tables_of_chunk, drawn))
    for day in days:
        parts = []
        for number, start, end in _cuts(drawn.requests, day):
            parts.append(Part(*(table.slice(start, end - start) for table in tables(number))))
            progress(end - start)
        if parts:
            yield _joined(parts)


def _cuts(requests: Requests, day: int) -> Iterator[tuple[int, int, int]]:
    """The chunks that overlap a day: number, and the rows [start, end) that lie in it."""
    midnights = (day * DAY_MS, (day + 1) * DAY_MS)
    begin, stop = map(int, np.searchsorted(requests.time_ms, midnights))
    while begin < stop:
        number, start = divmod(begin, CHUNK_REQUESTS)
        end = min(start + stop - begin, CHUNK_REQUESTS)
        yield number, start, end
        begin += end - start


def _visited(
    config: SimulationConfig,
    world: World,
    days_of_pages: Iterator[list[Chunk]],
    days: range,
    progress: Progress,
) -> Iterator[DayTables]:
    first = 0
    for day, pages in enumerate(islice(days_of_pages, days.stop)):
        parts = []
        for page in pages:
            parts.append(_tables(config, world, page, first))
            first += parts[-1].samples.num_rows
            progress(parts[-1].samples.num_rows)
        if parts and day in days:
            yield _joined(parts)


def _tables_of_chunk(drawn: Drawn, number: int) -> Part:
    return _tables(drawn.config, drawn.world, chunk(drawn, number), number * CHUNK_REQUESTS)


def _tables(config: SimulationConfig, world: World, chunk: Chunk, first: int) -> Part:
    """Of some requests, the first of them number `first` of the simulation."""
    return Part(
        sample_table(config, world, *chunk, first), truth_table(config.traffic, *chunk, first)
    )


def _joined(parts: Sequence[Part]) -> DayTables:
    samples, truth = zip(*parts, strict=True)
    return DayTables(pa.concat_tables(samples), pa.concat_tables(truth))
