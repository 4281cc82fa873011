"""Samples on disk: Parquet by day, with a description written last.

DIR/dataset.json                         features, counts, lineage, digests
DIR/samples/day=2022-04-25/part-0.parquet   one row a request, in time order
DIR/rejected.parquet                     bad rows of an import, each with its reason (if any)
DIR/truth/day=2022-04-25/part-0.parquet  what only a simulator knows (if any)

easq.history_write writes them, easq.history_folder puts them in place.
"""

import hashlib
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from easq.features import FeatureSpec
from easq.samples import sample_schema

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
