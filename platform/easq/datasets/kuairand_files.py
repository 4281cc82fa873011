"""The published files of KuaiRand: finding them, and reading them as text, line by line.

KuaiRand (Gao et al., CIKM 2022, https://kuairand.com) comes as Pure, 1K and 27K with the same
columns. The random-exposure logs are other experiments, and the month's video statistics hold
the future of every row: both are left alone.
"""

# pyarrow.compute makes its functions when it is imported, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

REJECTED = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("line", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("text", pa.string()),
    ]
)
MISSING = -1
LONGEST_NUMBER = 15


class Files(NamedTuple):
    """One KuaiRand data set in a folder."""

    variant: str  # pure, 1k or 27k
    logs: list[Path]
    users: Path
    videos: Path


class Text(NamedTuple):
    """A file as columns of strings, with the line each row stood on."""

    path: Path
    columns: pa.Table
    lines: np.ndarray  # int [rows], the header is line 1
    rejected: pa.Table  # rows that had too few or too many columns

    @property
    def num_lines(self) -> int:
        return self.columns.num_rows + self.rejected.num_rows


def find_files(directory: Path) -> Files:
    """The log and feature files in a folder, or in its `data` folder as in the published archive.

    Raises FileNotFoundError where one is missing, ValueError where it is not clear which to read.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(
            f"{directory} is not a folder. Unpack KuaiRand (https://kuairand.com) and name the "
            "folder that holds its log_standard_*.csv files."
        )
    if (directory / "data").is_dir():
        directory = directory / "data"
    users = _one_file(directory, "user_features_*")
    variant = _stem(users).removeprefix("user_features_")
    videos = _one_file(directory, f"video_features_basic_{variant}")
    logs = _csv_files(directory, f"log_standard_*_{variant}*")
    if not logs:
        raise _missing(directory, f"log_standard_*_{variant}")
    return Files(variant, logs, users, videos)


def _one_file(directory: Path, pattern: str) -> Path:
    found = _csv_files(directory, pattern)
    if not found:
        raise _missing(directory, pattern)
    if len(found) > 1:
        raise ValueError(
            f"{directory} holds several data sets: {[path.name for path in found]}. "
            "Give each its own folder and import one."
        )
    return found[0]


def _csv_files(directory: Path, pattern: str) -> list[Path]:
    found = sorted([*directory.glob(f"{pattern}.csv"), *directory.glob(f"{pattern}.csv.gz")])
    stems = [_stem(path) for path in found]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(
            f"{directory} holds {twice} both plain and as .gz. Remove one of each, or every row "
            "is read twice."
        )
    return found


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _missing(directory: Path, pattern: str) -> FileNotFoundError:
    names = sorted(path.name for path in directory.iterdir())[:12]
    return FileNotFoundError(
        f"{directory} holds no {pattern}.csv or {pattern}.csv.gz; it holds {names}. Copy the "
        "missing file of KuaiRand there, or name the folder that has it."
    )


def read_text(path: Path, expected: tuple[str, ...], quoted: bool) -> Text:
    """Every row of a CSV file as strings; rows of another length are put aside.

    Raises ValueError where the file ends too early, is damaged, or lacks a column.
    """
    misfits: list[tuple[int, int]] = []

    def put_aside(row: pacsv.InvalidRow) -> str:
        misfits.append((row.number or 0, row.actual_columns))
        return "skip"

    try:
        columns = pacsv.read_csv(
            path,
            pacsv.ReadOptions(use_threads=False),  # or rows come without their numbers
            pacsv.ParseOptions(
                quote_char='"' if quoted else False,
                ignore_empty_lines=False,
                invalid_row_handler=put_aside,
            ),
            pacsv.ConvertOptions(
                check_utf8=False, column_types=dict.fromkeys(expected, pa.string())
            ),
        )
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(
            f"{path} cannot be read to its end ({error}). Expected a whole CSV file of KuaiRand, "
            "plain or .gz; download or copy it again."
        ) from error
    lacking = [name for name in expected if name not in columns.column_names]
    if lacking:
        raise ValueError(
            f"{path} lacks the columns {lacking}; it has {columns.column_names}. Expected the "
            "columns of the published KuaiRand file; download it again."
        )
    numbers = np.array([number for number, _ in misfits], dtype=np.int64)
    lines = np.arange(2, columns.num_rows + len(misfits) + 2)
    reasons = [f"{count} columns instead of {len(columns.column_names)}" for _, count in misfits]
    return Text(
        path,
        columns.select(expected),
        np.setdiff1d(lines, numbers),
        reject(path, numbers, reasons),
    )


def reject(path: Path, lines: np.ndarray, reasons: list[str]) -> pa.Table:
    """Bad lines of a file with their reasons and their text as it stands there."""
    texts = dict.fromkeys(lines.tolist(), "")
    if texts:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number in texts:
                    texts[number] = line.decode(errors="replace").rstrip("\r\n")
    rows = [[path.name] * len(lines), lines, reasons, [texts[n] for n in lines.tolist()]]
    arrays = [pa.array(values, field.type) for values, field in zip(rows, REJECTED, strict=True)]
    return pa.table(arrays, schema=REJECTED)


def whole_numbers(text: pa.ChunkedArray) -> np.ndarray:
    """Whole numbers of 0 or more, int64; MISSING where the text is none."""
    is_number = pc.and_(
        pc.ascii_is_decimal(text), pc.less_equal(pc.binary_length(text), LONGEST_NUMBER)
    )
    digits = pc.if_else(is_number, text, str(MISSING))
    return pc.cast(digits, pa.int64()).to_numpy()
