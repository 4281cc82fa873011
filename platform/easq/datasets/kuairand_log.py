"""The behaviour log of KuaiRand as numbers: checked, without duplicates, in time order."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.datasets.kuairand_files import MISSING, Text, reject, whole_numbers

LOG_COLUMNS = (
    *("user_id", "video_id", "date", "hourmin", "time_ms"),
    *("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view"),
    *("play_time_ms", "duration_ms", "profile_stay_time", "comment_stay_time"),
    *("is_profile_enter", "is_rand", "tab"),
)
FLAGS = (*(c for c in LOG_COLUMNS if c.startswith("is_")), "long_view")
TABS = 15
YEAR_2000_MS, YEAR_2100_MS = 946_684_800_000, 4_102_444_800_000
DUPLICATE = "exact duplicate of another row"


class Log(NamedTuple):
    """Rows by user, time and video."""

    columns: dict[str, np.ndarray]  # the published names, [rows]
    rejected: pa.Table


def read_log(texts: list[Text]) -> Log:
    """The good rows of all log files; the others with their reasons.

    Raises ValueError where no good row is left.
    """
    parts, rejected = [], [text.rejected for text in texts]
    for index, text in enumerate(texts):
        numbers = {name: whole_numbers(text.columns.column(name)) for name in LOG_COLUMNS}
        reasons = _reasons(numbers)
        bad = np.flatnonzero(reasons != "")
        rejected.append(reject(text.path, text.lines[bad], reasons[bad].tolist()))
        good = reasons == ""
        where = {"file": np.full(len(good), index), "line": text.lines}
        parts.append({name: v[good] for name, v in {**numbers, **where}.items()})
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if not len(columns["line"]):
        reasons = pa.concat_tables(rejected).column("reason").value_counts().to_pylist()
        raise ValueError(
            f"{[text.path.name for text in texts]} hold no good row: {reasons or 'they are empty'}."
            " Expected the log of KuaiRand as published; download it again."
        )
    columns, duplicates = _distinct(columns)
    for index, text in enumerate(texts):
        lines = np.sort(duplicates["line"][duplicates["file"] == index])
        rejected.append(reject(text.path, lines, [DUPLICATE] * len(lines)))
    return Log(columns, pa.concat_tables(rejected))


def _reasons(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """Why each row is refused, "" where it is good."""
    time_ms = numbers["time_ms"]
    checks = {
        f"{name} is not a whole number of 0 or more": numbers[name] == MISSING
        for name in LOG_COLUMNS
    }
    checks |= {f"{name} is not 0 or 1": numbers[name] > 1 for name in FLAGS}
    checks |= {
        f"tab is not below {TABS}": numbers["tab"] >= TABS,
        "time_ms is not in 2000 to 2099": (time_ms < YEAR_2000_MS) | (time_ms >= YEAR_2100_MS),
        "is_like and is_hate are both set": (numbers["is_like"] & numbers["is_hate"]) == 1,
    }
    first = np.select(list(checks.values()), list(range(1, len(checks) + 1)), 0)
    return np.array(["", *checks], dtype=object)[first]


def _distinct(
    columns: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows sorted by user, time, video and the rest; the later copies of a row apart."""
    first = ("user_id", "time_ms", "video_id")
    keys = [*first, *(name for name in LOG_COLUMNS if name not in first)]
    order = np.lexsort([columns[name] for name in reversed(keys)])
    columns = {name: values[order] for name, values in columns.items()}
    copies = np.zeros(len(order), dtype=bool)
    copies[1:] = np.logical_and.reduce([np.diff(columns[name]) == 0 for name in keys])
    return (
        {name: values[~copies] for name, values in columns.items()},
        {name: columns[name][copies] for name in ("file", "line")},
    )
