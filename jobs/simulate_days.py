"""Days of a simulation as Ray tasks, one core each: only what describes them comes back."""

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import ray
from ray.exceptions import RayTaskError

from easq.history_write import WrittenDay
from easq.simulate.chunks import Drawn, draw
from easq.simulate.generate import Progress, write_independent
from easq.simulate.simulation import SimulationConfig, draw_surroundings
from jobs.cluster import ray_cluster


def beside_each_other(
    folder: Path, config: SimulationConfig, progress: Progress, address: str | None = None
) -> Sequence[WrittenDay]:
    """`easq.simulate.generate.WriteDays` on a cluster, all nodes of which must see `folder`."""
    with ray_cluster(cpus=os.cpu_count() or 1, address=address):
        return _write(folder, config, progress)


@ray.remote(num_cpus=1)
def _day(drawn: Drawn, folder: Path, day: int) -> list[WrittenDay]:
    if not folder.is_dir():
        raise ValueError(
            f"a node of the cluster does not see {folder.parent}: OUT must lie where all do"
        )
    return write_independent(folder, drawn, range(day, day + 1))


def _write(folder: Path, config: SimulationConfig, progress: Progress) -> Sequence[WrittenDay]:
    """A task a core: each holds a day in memory, and Ray starts a process for every task told."""
    drawn = ray.put(draw(config, *draw_surroundings(config)))
    days = iter(range(config.traffic.days))
    at_once = max(1, int(ray.cluster_resources().get("CPU", 0)))
    running: list[ray.ObjectRef] = []
    written: list[WrittenDay] = []
    for _ in range(config.traffic.days):
        running += [_day.remote(drawn, folder, d) for d in islice(days, at_once - len(running))]
        [done], running = ray.wait(running)
        try:
            found: list[WrittenDay] = ray.get(done)
        except RayTaskError as error:
            raise error.cause from error
        written += found
        progress(sum(one.day.requests for one in found))
    return sorted(written, key=lambda one: one.day.day)
