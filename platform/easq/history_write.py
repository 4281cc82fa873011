"""Write samples by day: a day is written as it comes, the description last."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from easq.events import Answer
from easq.features import HOUR_MS, FeatureSpec
from easq.history import ROW_GROUP, Day, Description, History, Source, sha256_of
from easq.history_folder import building, complete
from easq.samples import check_samples, sample_schema

_ANSWERS = {a.name.lower(): a for a in Answer if a != Answer.NONE}


class DayTables(NamedTuple):
    """One local day, in any order."""

    samples: pa.Table  # with the schema of its features
    truth: pa.Table | None = None  # what a simulator knows: `request_id`, `request_time_ms`, ...


class WrittenDay(NamedTuple):
    """A day on disk, and what a description sums up over days."""

    day: Day
    candidates: int
    answers: dict[str, int]


def write_history(
    root: Path,
    name: str,
    features: FeatureSpec,
    samples: pa.Table,
    sources: list[Source],
    rejected: pa.Table | None = None,
) -> History:
    """Write samples, and what was rejected with a column `reason`, as a history.

    An existing history at `root` is replaced.

    Raises:
        ValueError: `root` is a folder with other things in it, there is no sample to write, or
            the samples are not what the features say.
    """
    offset = features.utc_offset_hours
    with building(root) as folder:
        days = map(DayTables, _split_by_day(_cast(samples, features), offset))
        written = write_days(folder, features, days)
        if rejected is not None and rejected.num_rows:
            pq.write_table(rejected, folder / "rejected.parquet")
        return complete(root, folder, describe(name, features, written, sources, rejected))


def write_days(folder: Path, features: FeatureSpec, days: Iterable[DayTables]) -> list[WrittenDay]:
    """Write days into a folder of `building`; each is let go before the next is asked for.

    Raises:
        ValueError: samples are not what `check_samples` asks for.
    """
    return list(starmap(partial(_write_day, folder, features.utc_offset_hours), days))


def describe(
    name: str,
    features: FeatureSpec,
    written: Sequence[WrittenDay],
    sources: Sequence[Source],
    rejected: pa.Table | None = None,
) -> Description:
    """What dataset.json says about days in order."""
    days = tuple(one.day for one in written)
    reasons = rejected.column("reason").value_counts().to_pylist() if rejected is not None else []
    digests = json.dumps([day.sha256 for day in days]) + features.schema_hash
    return Description(
        name=name,
        features=features,
        days=days,
        sources=tuple(sources),
        requests=sum(day.requests for day in days),
        candidates=sum(one.candidates for one in written),
        answers={a: sum(one.answers[a] for one in written) for a in _ANSWERS},
        rejected={r["values"]: r["counts"] for r in reasons},
        digest=hashlib.sha256(digests.encode()).hexdigest()[:16],
    )


def _cast(samples: pa.Table, features: FeatureSpec) -> pa.Table:
    schema = sample_schema(features)
    if set(samples.column_names) != set(schema.names):
        missing = sorted(set(schema.names) - set(samples.column_names))
        unknown = sorted(set(samples.column_names) - set(schema.names))
        raise ValueError(f"samples need the columns of their features: {missing=}, {unknown=}")
    try:
        return samples.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ValueError(f"samples do not fit the schema of their features: {error}") from error


def _write_day(
    folder: Path, utc_offset_hours: float, samples: pa.Table, truth: pa.Table | None
) -> WrittenDay:
    samples = _in_time_order(samples)
    check_samples(samples)
    times = samples.column("request_time_ms")
    name = _name(_local_days(times[:1].to_numpy(), utc_offset_hours)[0])
    path = _write(folder, "samples", name, samples)
    if truth is not None:
        _write(folder, "truth", name, _in_time_order(truth))
    file = path.relative_to(folder).as_posix()
    day = Day(day=name, file=file, requests=samples.num_rows, sha256=sha256_of(path))
    given = samples.column("answer").combine_chunks().flatten().to_numpy()
    answers = {said: int((given == answer).sum()) for said, answer in _ANSWERS.items()}
    return WrittenDay(day, len(given), answers)


def _write(folder: Path, kind: str, day: str, table: pa.Table) -> Path:
    path = folder / kind / f"day={day}" / "part-0.parquet"
    for made in (path.parent.parent, path.parent):  # never the folder itself: see `complete`
        made.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=ROW_GROUP, compression="zstd")
    return path


def _in_time_order(table: pa.Table) -> pa.Table:
    """Rows by request time, those of one millisecond by id."""
    return table.sort_by([("request_time_ms", "ascending"), ("request_id", "ascending")])


def _split_by_day(table: pa.Table, utc_offset_hours: float) -> Iterator[pa.Table]:
    """Cut a table with `request_time_ms` into local days, in order."""
    days = _local_days(table.column("request_time_ms").to_numpy(), utc_offset_hours)
    for day in np.unique(days):
        yield table.filter(pa.array(days == day))


def _local_days(time_ms: np.ndarray, utc_offset_hours: float) -> np.ndarray:
    """Days since 1970 where local time is so many hours ahead."""
    return (time_ms + int(utc_offset_hours * HOUR_MS)) // (24 * HOUR_MS)


def _name(day: int) -> str:
    return datetime.fromtimestamp(int(day) * 86_400, UTC).date().isoformat()
