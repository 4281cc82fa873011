"""Windows of samples as a Ray Data source: a dataset for each worker, one row a window.

A row is a packed share (`easq.train.share`), so that no block, batch or split boundary ever cuts
a window or a request. The read task is a generator, and each of its rows leaves as a block of
its own.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import ray.data
from ray.data import (
    DataContext,
    DataIterator,
    Dataset,
    Datasource,
    ExecutionResources,
    ReadTask,
)
from ray.data.block import BlockMetadata
from ray.train import DataConfig

from easq.history import History
from easq.train.position import newest_checkpoint, read_position
from easq.train.share import WindowShare, pack, share_of, unpack
from easq.train.tail import Stretch, read_pass

READ_AHEAD_BYTES = 64 << 20
"""Object store that windows of one rank may fill before it is their turn; at least one may."""
READ_CPUS = 0.25
"""CPU slots of a worker's read task, which mostly waits for the worker."""


class Windows(NamedTuple):
    """The windows of a history, from one on."""

    history: Path
    max_requests: int | None  # None: whole local days
    start: int = 0


class WindowSource(Datasource):
    """What one rank gets of a history's windows, in order."""

    def __init__(self, windows: Windows, rank: int, world_size: int) -> None:
        self.read = partial(read_shares, windows, rank, world_size)

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[ReadTask]:
        """One task, whatever the parallelism: windows have an order."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(self.read, unknown)]


class PassSource(WindowSource):
    """What one rank gets of a run that goes on with a log: a pass, from where the run stands."""

    def __init__(self, stretch: Stretch, rank: int, world_size: int) -> None:
        self.read = partial(read_pass, stretch, rank, world_size)


def read_shares(windows: Windows, rank: int, world_size: int) -> Iterator[pa.Table]:
    """Packed shares of one rank; every rank reads the files for itself."""
    history = History.open(windows.history)
    every = history.windows(windows.max_requests)
    for window in every[windows.start :]:
        yield pack(share_of(history.read(window), window, len(every), rank, world_size))


def share_dataset(source: Datasource, labels: Mapping[str, str]) -> Dataset:
    """A dataset whose blocks are single rows, each sent on at once; read on nodes so labelled."""
    dataset = ray.data.read_datasource(
        source,
        num_cpus=READ_CPUS,
        override_num_blocks=1,
        ray_remote_args={"label_selector": dict(labels)} if labels else None,
    )
    dataset.context.target_max_block_size = 1
    dataset.context.execution_no_progress_timeout_s = -1
    dataset.context.enable_progress_bars = False
    dataset.context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=READ_AHEAD_BYTES
    )
    return dataset


class StreamEach(DataConfig):
    """A dataset of its own for each rank, made anew whenever the workers are started.

    `source` maps rank and world size to what the rank gets; nodes with `labels` read it.
    `streaming_split`, Ray Train's default, drops rows and deals them out as it likes.
    """

    def __init__(self, source: Callable[[int, int], Datasource], labels: Mapping[str, str]) -> None:
        super().__init__(datasets_to_split=[])
        self.source, self.labels = source, labels

    def configure(
        self, datasets: dict[str, Dataset], world_size: int, *_: Any, **__: Any
    ) -> list[dict[str, DataIterator]]:
        own = [
            share_dataset(self.source(rank, world_size), self.labels) for rank in range(world_size)
        ]
        return [{name: dataset.iterator() for name in datasets} for dataset in own]


def unlearnt(windows: Windows, run_folder: Path, rank: int, world_size: int) -> WindowSource:
    """What a rank still has to learn after the checkpoint that its worker restores."""
    checkpoint = newest_checkpoint(run_folder)
    start = read_position(checkpoint).next_window if checkpoint is not None else 0
    return WindowSource(windows._replace(start=start), rank, world_size)


def shares(iterator: DataIterator, ahead: int = 1) -> Iterator[WindowShare | None]:
    """The shares of a worker's dataset; None where the log has no further window at the moment.

    `ahead` are prepared ahead. With one, a share comes out when the next has arrived: right for
    a history, and a window too late for a log.
    """
    for row in iterator.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=ahead):
        yield unpack(row)
