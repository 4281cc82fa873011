"""The last answered requests of each user, features as served (D+: user window).

Part of the checkpoint; it holds only requests that were already learnt from, so it never
crosses the evaluation boundary.
"""

import json
from collections import deque
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import Answer

DAY_MS = 86_400_000
COUNTS = "answers"


class Remembered(NamedTuple):
    """One answered request: its sample (a table of one row) and which answers it holds."""

    time_ms: int
    answers: frozenset[int]
    row: pa.Table


def remembered(row: pa.Table) -> Remembered:
    """Read a sample of one request. Its time is that of its latest answer, in Unix ms."""
    answers = row.column("answer").chunk(0).flatten().to_numpy()
    times = row.column("answer_time_ms").chunk(0).flatten().to_numpy()
    given = {int(a) for a in np.unique(answers)} - {int(Answer.NONE)}
    return Remembered(int(times.max()), frozenset(given), row)


class AnswerMemory:
    """At most `per_user` answered requests a user, none older than `days`."""

    def __init__(self, per_user: int, days: float) -> None:
        self.per_user = per_user
        self.max_age_ms = int(days * DAY_MS)
        self.of_user: dict[int, deque[Remembered]] = {}
        self.counts: dict[Answer, int] = {Answer.SATISFIED: 0, Answer.DISSATISFIED: 0}
        """Answers ever inserted, by kind."""

    def partners(self, user_id: int, asked: Remembered) -> list[pa.Table]:
        """Samples of the user whose answers differ from the new one's, oldest first."""
        return [
            old.row
            for old in self.of_user.get(user_id, ())
            if asked.time_ms - old.time_ms <= self.max_age_ms
            and len(old.answers | asked.answers) > 1
        ]

    def insert(self, user_id: int, asked: Remembered) -> None:
        self.of_user.setdefault(user_id, deque(maxlen=self.per_user)).append(asked)
        answers = asked.row.column("answer").chunk(0).flatten().to_numpy()
        for kind in self.counts:
            self.counts[kind] += int((answers == kind).sum())

    def to_table(self) -> pa.Table | None:
        """All samples, users in the order of their first answer; None when there is none."""
        rows = [item.row for queue in self.of_user.values() for item in queue]
        if not rows:
            return None
        counts = json.dumps({kind.name: count for kind, count in self.counts.items()})
        return pa.concat_tables(rows).combine_chunks().replace_schema_metadata({COUNTS: counts})

    def load(self, table: pa.Table) -> None:
        """Replace the contents by what `to_table` returned."""
        self.of_user = {}
        for i in range(table.num_rows):
            row = table.slice(i, 1).combine_chunks().replace_schema_metadata(None)
            self.insert(row.column("user_id")[0].as_py(), remembered(row))
        counts = json.loads((table.schema.metadata or {})[COUNTS.encode()])
        self.counts = {kind: counts[kind.name] for kind in self.counts}
