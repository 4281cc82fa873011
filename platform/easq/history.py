"""Samples on disk: Parquet by day, with a description written last.

DIR/dataset.json                         features, counts, lineage, digests
DIR/samples/day=2022-04-25/part-0.parquet   one row a request, in time order
DIR/rejected.parquet                     bad rows of an import, each with its reason (if any)
DIR/truth/day=2022-04-25/part-0.parquet  what only a simulator knows (if any)

A folder is written beside its final place and renamed, so a half-written one is never read.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from easq.events import Answer
from easq.features import HOUR_MS, FeatureSpec
from easq.samples import check_samples, sample_schema

ROW_GROUP = 1024


class Day(BaseModel):
    """One local day of samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: str
    file: str
    requests: int
    sha256: str


class Source(BaseModel):
    """Where samples came from: a file as it was read, or a simulator's parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rows: int
    sha256: str = ""
    parameters: str = ""


class Description(BaseModel):
    """Contents of dataset.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    name: str
    features: FeatureSpec
    days: tuple[Day, ...]
    sources: tuple[Source, ...]
    requests: int
    candidates: int
    answers: dict[str, int]
    rejected: dict[str, int]
    digest: str


class Window(BaseModel):
    """A sealed range of samples of one day: rows [start, end) of its file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int
    day: str
    file: str
    start: int
    end: int


class History:
    """A folder of samples, opened for reading."""

    def __init__(self, root: Path, description: Description) -> None:
        self.root = root
        self.description = description

    @classmethod
    def open(cls, root: Path | str) -> Self:
        root = Path(root).resolve()
        path = root / "dataset.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{root} holds no samples (no dataset.json). Make some with "
                "`easq import kuairand DIR` or `easq simulate`."
            )
        try:
            description = Description.model_validate_json(path.read_text())
        except ValidationError as error:
            raise ValueError(f"{path} cannot be read; import the data again. {error}") from error
        return cls(root, description)

    def windows(self, max_requests: int | None = None) -> list[Window]:
        """The windows of the history in time order: whole days, or at most so many requests."""
        windows: list[Window] = []
        for day in self.description.days:
            size = max_requests or max(day.requests, 1)
            for start in range(0, day.requests, size):
                end = min(start + size, day.requests)
                windows.append(
                    Window(index=len(windows), day=day.day, file=day.file, start=start, end=end)
                )
        return windows

    def read(self, window: Window) -> pa.Table:
        """The samples of one window, checked against the schema."""
        return read_rows(
            self.root / window.file, window.start, window.end, self.description.features
        )

    def verify(self) -> None:
        """Compare every file with its digest."""
        for day in self.description.days:
            path = self.root / day.file
            if not path.is_file() or sha256_of(path) != day.sha256:
                raise ValueError(f"{path} is missing or damaged; import the data again.")


def read_rows(path: Path, start: int, end: int, spec: FeatureSpec) -> pa.Table:
    """Rows [start, end) of one file; only the row groups that hold them are read."""
    try:
        file = pq.ParquetFile(path)
        first, last = start // ROW_GROUP, -(-end // ROW_GROUP)
        table = file.read_row_groups(range(first, last))
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(
            f"{path} is missing or truncated; import the data again. ({error})"
        ) from error
    schema = sample_schema(spec)
    if not table.schema.equals(schema, check_metadata=False):
        raise ValueError(f"{path} has other columns than dataset.json says; import the data again.")
    rows = table.slice(start - first * ROW_GROUP, end - start)
    if rows.num_rows != end - start:
        raise ValueError(f"{path} has fewer rows than dataset.json says; import the data again.")
    return rows


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_history(
    root: Path,
    name: str,
    features: FeatureSpec,
    samples: pa.Table,
    sources: list[Source],
    rejected: pa.Table | None = None,
    truth: pa.Table | None = None,
) -> History:
    """Write samples (and what was rejected, and what a simulator knows) as a history.

    `rejected` has a column `reason`; `truth` one row a request, with `request_id` and
    `request_time_ms`; both are sorted by these. An existing history at `root` is replaced.

    Raises:
        ValueError: `root` is a folder with other things in it, there is no sample to write, or
            the samples are not what the features say.
    """
    root = root.resolve()
    check_replaceable(root)
    if not samples.num_rows:
        raise ValueError(f"there is no sample to write to {root}: every row was put aside")
    samples = in_time_order(_cast(samples, features))
    check_samples(samples)
    building = root.with_name(f".{root.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    days = _write_days(building, "samples", samples, features.utc_offset_hours)
    if truth is not None:
        _write_days(building, "truth", in_time_order(truth), features.utc_offset_hours)
    if rejected is not None and rejected.num_rows:
        pq.write_table(rejected, building / "rejected.parquet")
    description = _describe(name, features, samples, days, sources, rejected)
    (building / "dataset.json").write_text(description.model_dump_json(indent=2))
    _replace(root, building)
    return History(root, description)


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


def check_replaceable(root: Path) -> None:
    """Refuse to write over anything that is not a history; makes the folder it is to lie in.

    Raises:
        ValueError: `root` holds other things.
        OSError: there can be no folder of that name.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    is_other = root.exists() and not (root / "dataset.json").is_file()
    if is_other and (not root.is_dir() or any(root.iterdir())):
        raise ValueError(
            f"{root} holds other things than samples; name a new folder, or an earlier import"
        )


def _replace(root: Path, building: Path) -> None:
    """Put the new folder in the old one's place; a crash leaves one of them whole."""
    old = root.with_name(f".{root.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if root.exists():
        root.rename(old)
    building.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def in_time_order(table: pa.Table) -> pa.Table:
    """Rows by request time, those of one millisecond by id."""
    return table.sort_by([("request_time_ms", "ascending"), ("request_id", "ascending")])


def _describe(
    name: str,
    features: FeatureSpec,
    samples: pa.Table,
    days: list[Day],
    sources: list[Source],
    rejected: pa.Table | None,
) -> Description:
    answers = samples.column("answer").combine_chunks().flatten().to_numpy()
    reasons = rejected.column("reason").value_counts().to_pylist() if rejected is not None else []
    digests = json.dumps([d.sha256 for d in days]) + features.schema_hash
    return Description(
        name=name,
        features=features,
        days=tuple(days),
        sources=tuple(sources),
        requests=samples.num_rows,
        candidates=len(answers),
        answers={a.name.lower(): int((answers == a).sum()) for a in Answer if a != Answer.NONE},
        rejected={r["values"]: r["counts"] for r in reasons},
        digest=hashlib.sha256(digests.encode()).hexdigest()[:16],
    )


def _write_days(root: Path, kind: str, table: pa.Table, utc_offset_hours: float) -> list[Day]:
    days = []
    for day, part in split_by_day(table, utc_offset_hours):
        file = f"{kind}/day={day}/part-0.parquet"
        path = root / file
        path.parent.mkdir(parents=True)
        pq.write_table(part, path, row_group_size=ROW_GROUP, compression="zstd")
        days.append(Day(day=day, file=file, requests=part.num_rows, sha256=sha256_of(path)))
    return days


def split_by_day(table: pa.Table, utc_offset_hours: float) -> Iterator[tuple[str, pa.Table]]:
    """Cut a table with `request_time_ms` into local days, in order."""
    times = table.column("request_time_ms").to_numpy()
    local = (times + int(utc_offset_hours * HOUR_MS)) // (24 * HOUR_MS)
    for day in np.unique(local):
        name = datetime.fromtimestamp(int(day) * 86_400, UTC).date().isoformat()
        yield name, table.filter(pa.array(local == day))
