"""A pass of a run's windows for one rank: what is left of the history, then the log's tail.

The generator finds its start when it runs, in the newest checkpoint: so every pass, and every
start after a failure, goes on where the weights stand.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from easq.features import HOUR_MS, FeatureSpec
from easq.history import History
from easq.log.connect import open_log
from easq.log.interface import SAMPLES, LogAwayError
from easq.samples import sample_schema
from easq.sealed import SealedReader, SealedWindow, sealed_at_ms
from easq.train.config import StreamSection, TrainConfig
from easq.train.position import newest_checkpoint, read_position
from easq.train.run_folder import run_folder
from easq.train.share import WindowShare, cut, nothing_yet, pack, share_of

log = logging.getLogger(__name__)

POLL_SECONDS = 0.02
BEAT_SECONDS = 0.5
"""How often a worker hears that there is nothing yet, and so can look whether it is to stop."""


class Stretch(NamedTuple):
    """What a run learns."""

    history: Path
    max_requests: int | None  # a window of the history; None: whole local days
    stream: StreamSection
    run_folder: Path


def stretch_of(config: TrainConfig, stream: StreamSection) -> Stretch:
    """What a run with a log learns."""
    return Stretch(config.data.history, config.data.max_requests, stream, run_folder(config))


def read_pass(stretch: Stretch, rank: int, world_size: int) -> Iterator[pa.Table]:
    """Packed shares of one rank up to the end of a pass, with `nothing_yet` between them."""
    history = History.open(stretch.history)
    windows = history.windows(stretch.max_requests)
    checkpoint = newest_checkpoint(stretch.run_folder)
    position = read_position(checkpoint) if checkpoint is not None else None
    start = position.next_window if position is not None else 0
    for window in windows[start:]:
        yield pack(share_of(history.read(window), window, len(windows), rank, world_size))
    offsets = position.offsets if position is not None else {}

    def opened() -> SealedReader:
        every = [offsets[p] for p in sorted(offsets)] or None
        return SealedReader(open_log(stretch.stream.log), every, max(start, len(windows)))

    check_kept(stretch)
    for sealed in follow(opened):
        if sealed is None:
            yield nothing_yet()
            continue
        share = share_of_log(sealed, history.description.features, len(windows), rank, world_size)
        yield pack(share)
        if ends_pass(share, stretch.stream):
            return


def check_kept(stretch: Stretch) -> None:
    """See that no row was trimmed before it was learnt; a log that is away is asked later.

    Raises:
        ValueError: some were.
    """
    checkpoint = newest_checkpoint(stretch.run_folder)
    if checkpoint is None or not (offsets := read_position(checkpoint).offsets):
        return
    try:
        with closing(open_log(stretch.stream.log)) as log:
            begins = {p: log.begin(SAMPLES, p) for p in range(log.partitions(SAMPLES))}
    except LogAwayError:
        return
    lost = {p: begins[p] - at for p, at in offsets.items() if at < begins.get(p, 0)}
    if lost:
        raise ValueError(
            f"{sum(lost.values())} rows of topic samples were trimmed before {checkpoint} had "
            f"learnt them (by partition: {lost}), so this run has a gap and cannot go on. Begin "
            "another run.name, which learns the history and all that is kept; the joiner's "
            f"--keep-for {stretch.run_folder} keeps samples until they are learnt."
        )


def follow(opened: Callable[[], SealedReader]) -> Iterator[SealedWindow | None]:
    """The windows of a log, for ever; None now and then while there is none, or no log."""
    reader: SealedReader | None = None
    beat, is_away = time.monotonic(), False
    while True:
        try:
            reader = reader or opened()
            window = reader.next()
        except LogAwayError as error:
            if not is_away:
                log.warning("the log is asked until it answers: %s", error)
            window, is_away = None, True
        else:
            if is_away:
                log.warning("the log is back")
            is_away = False
        if window is None and time.monotonic() < beat + BEAT_SECONDS:
            time.sleep(POLL_SECONDS)
            continue
        beat = time.monotonic()
        yield window


def share_of_log(
    sealed: SealedWindow, spec: FeatureSpec, history_windows: int, rank: int, world_size: int
) -> WindowShare:
    """One rank's share of a sealed window; refused where its features are not the history's."""
    samples, refused = _samples(sealed, spec)
    at = sealed_at_ms(sealed.table) if samples.num_rows else 0
    local = datetime.fromtimestamp((at + spec.utc_offset_hours * HOUR_MS) / 1000, UTC)
    share = cut(samples, sealed.number, history_windows, local.date().isoformat(), rank, world_size)
    return share._replace(offsets=sealed.offsets, sealed_at_ms=at, refused=refused)


def ends_pass(share: WindowShare, stream: StreamSection) -> bool:
    """A pass ends at a checkpoint, from which the next one starts."""
    return (share.window + 1 - share.num_windows) % stream.whole_pass == 0


def _samples(sealed: SealedWindow, spec: FeatureSpec) -> tuple[pa.Table, str]:
    """The columns that are learnt; all columns, and why, where those are not there."""
    schema = sample_schema(spec)
    if not sealed.table.num_rows:
        return schema.empty_table(), ""  # what stands for an empty window has no features
    found = {field.name: field.type for field in sealed.table.schema}
    wrong = [field.name for field in schema if found.get(field.name) != field.type]
    if wrong:
        return sealed.table, (
            f"its features are not those of the history: {wrong[:5]} are missing or of another "
            "type. Serve a version of this run, or begin a run with a history of the features "
            "that are served"
        )
    return sealed.table.select(schema.names), ""
