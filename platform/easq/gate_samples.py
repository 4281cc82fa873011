"""What the gate judges on, from topic `samples`: the newest requests and the last answers."""

import numpy as np
import pyarrow as pa

from easq.features import FeatureSpec
from easq.log.interface import MAX_ROWS, SAMPLES, Log
from easq.samples import BEHAVIOUR_SAMPLE, sample_schema
from easq.train.share import answered_rows


def last_answered(samples: pa.Table, least: int) -> pa.Table:
    """The newest rows with an answer, so many that they hold `least` answers, or all there are."""
    rows = samples.take(pa.array(answered_rows(samples))).combine_chunks()
    given = np.cumsum(_answers(rows)[::-1])
    needed = int(np.searchsorted(given, least)) + 1
    return rows.slice(max(rows.num_rows - needed, 0))


class GateSamples:
    """Follows topic `samples`, from where nothing was learnt yet by the versions to be judged.

    Args:
        learnt: of each partition, the first offset that no judged version has learnt.
    """

    def __init__(
        self,
        log: Log,
        spec: FeatureSpec,
        learnt: dict[int, int],
        least_answers: int,
        most_requests: int,
    ) -> None:
        self.log, self.columns = log, sample_schema(spec).names
        self.least_answers, self.most_requests = least_answers, most_requests
        self.next = dict(learnt)
        self.empty = sample_schema(spec).empty_table()
        self.newest = self.fresh = self.before = self.empty
        for partition, end in learnt.items():
            self.before = self._last(self.before, self._before(partition, end))

    @property
    def answers(self) -> pa.Table:
        """The last answered samples that nobody has learnt, filled up with those before them."""
        missing = self.least_answers - int(_answers(self.fresh).sum())
        filling = last_answered(self.before, missing) if missing > 0 else self.empty
        return pa.concat_tables([filling, self.fresh]).combine_chunks()

    @property
    def learnt_share(self) -> float:
        """Of `answers`: what the candidate may have learnt, and the champion less of."""
        fresh, given = (int(_answers(rows).sum()) for rows in (self.fresh, self.answers))
        return 1 - fresh / max(given, 1)

    def take(self) -> None:
        """Add what the log has gained; whole windows come in one append, so rows are enough."""
        for partition in range(self.log.partitions(SAMPLES)):
            begin = self.log.begin(SAMPLES, partition)
            start = max(self.next.get(partition, begin), begin)
            while (rows := self.log.read(SAMPLES, partition, start)) is not None:
                start = int(rows.offsets[-1]) + 1
                self._add(self._samples(rows.table))
            self.next[partition] = start

    def _add(self, samples: pa.Table) -> None:
        behaviour = samples.filter(pa.array(samples.column("kind").to_numpy() == BEHAVIOUR_SAMPLE))
        newest = pa.concat_tables([self.newest, behaviour]).combine_chunks()
        self.newest = newest.slice(max(newest.num_rows - self.most_requests, 0))
        self.fresh = self._last(self.fresh, samples)

    def _last(self, kept: pa.Table, samples: pa.Table) -> pa.Table:
        both = pa.concat_tables([kept, samples]).sort_by("request_time_ms")
        return last_answered(both, self.least_answers)

    def _before(self, partition: int, end: int) -> pa.Table:
        """Samples below an offset, read backwards until they hold enough answers."""
        found = self.empty
        begin = self.log.begin(SAMPLES, partition)
        while end > begin and _answers(found).sum() < self.least_answers:
            start = max(end - MAX_ROWS, begin)
            found = pa.concat_tables([self._between(partition, start, end), found])
            end = start
        return found

    def _between(self, partition: int, start: int, end: int) -> pa.Table:
        parts = [self.empty]
        while (rows := self.log.read(SAMPLES, partition, start, end)) is not None:
            start = int(rows.offsets[-1]) + 1
            samples = self._samples(rows.table)
            parts.append(samples.take(pa.array(answered_rows(samples))))
        return pa.concat_tables(parts)

    def _samples(self, rows: pa.Table) -> pa.Table:
        """Without the marks of empty windows, and without samples of other features."""
        if not set(self.columns) <= set(rows.column_names):
            return self.empty
        return rows.filter(pa.array(rows.column("window_rows").to_numpy() > 0)).select(self.columns)


def ends(log: Log) -> dict[int, int]:
    """Where topic `samples` ends now: nothing that exists has learnt what comes after."""
    return {p: log.end(SAMPLES, p) for p in range(log.partitions(SAMPLES))}


def _answers(rows: pa.Table) -> np.ndarray:
    """How many answers each row holds, int [R]."""
    column = rows.column("answer").combine_chunks()
    given = column.flatten().to_numpy() != 0
    return np.bincount(column.value_parent_indices().to_numpy(), given, rows.num_rows).astype(int)
