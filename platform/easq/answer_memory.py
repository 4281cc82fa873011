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
COUNTS, NEWEST = "answers", "newest_ms"


class Remembered(NamedTuple):
    """One answered request: its sample (a table of one row) and which answers it holds.

    The row is a copy (`take`): a slice would keep the whole window in memory.
    """

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
    """At most `per_user` answered requests a user; users whose last one is too old are forgotten.

    Time is the latest that answers have said. Users are in the order of their last answer.
    """

    def __init__(self, per_user: int, days: float) -> None:
        self.per_user = per_user
        self.max_age_ms = int(days * DAY_MS)
        self.of_user: dict[int, deque[Remembered]] = {}
        self.newest_ms = 0
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
        queue = self.of_user.pop(user_id, None) or deque(maxlen=self.per_user)
        queue.append(asked)
        self.of_user[user_id] = queue
        answers = asked.row.column("answer").chunk(0).flatten().to_numpy()
        for kind in self.counts:
            self.counts[kind] += int((answers == kind).sum())
        self.newest_ms = max(self.newest_ms, asked.time_ms)
        self._forget()

    def _forget(self) -> None:
        """From the user who has not answered for longest on, while that is too long ago."""
        while self.of_user:
            user, queue = next(iter(self.of_user.items()))
            if self.newest_ms - queue[-1].time_ms <= self.max_age_ms:
                return
            del self.of_user[user]

    def copy(self) -> "AnswerMemory":
        """The same now, and no longer once one of them changes; samples are shared."""
        copy = AnswerMemory(self.per_user, 0)
        copy.max_age_ms, copy.newest_ms = self.max_age_ms, self.newest_ms
        copy.of_user = {user: queue.copy() for user, queue in self.of_user.items()}
        copy.counts = dict(self.counts)
        return copy

    def to_table(self) -> pa.Table | None:
        """All samples, user by user; None when there is none."""
        rows = [item.row for queue in self.of_user.values() for item in queue]
        if not rows:
            return None
        counts = {kind.name: count for kind, count in self.counts.items()}
        metadata = {COUNTS: json.dumps(counts), NEWEST: str(self.newest_ms)}
        return pa.concat_tables(rows).combine_chunks().replace_schema_metadata(metadata)

    def load(self, table: pa.Table) -> None:
        """Replace the contents by what `to_table` returned."""
        self.of_user = {}
        bare = table.replace_schema_metadata(None)
        for i in range(table.num_rows):
            asked = remembered(bare.take([i]).combine_chunks())
            user = asked.row.column("user_id")[0].as_py()
            self.of_user.setdefault(user, deque(maxlen=self.per_user)).append(asked)
        metadata = table.schema.metadata or {}
        counts = json.loads(metadata[COUNTS.encode()])
        self.counts = {kind: counts[kind.name] for kind in self.counts}
        self.newest_ms = int(metadata.get(NEWEST.encode(), 0))  # of older checkpoints: none
