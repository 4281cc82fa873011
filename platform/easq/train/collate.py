"""From a window's samples to the batches of its steps, the same for any number of workers.

Row i of a window belongs to rank i mod world size; a step takes `batch` rows over all ranks.
Every rank sees all answered rows of the window, so the answer memory needs no exchange.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from easq.answer_memory import AnswerMemory, Remembered, remembered
from easq.encoding import encode
from easq.events import BEHAVIOURS, Answer
from easq.features import FeatureSpec
from easq.pairs import (
    NO_ANSWERS,
    ContextWeights,
    Pairs,
    PairsConfig,
    answer_pairs,
    balanced_weights,
    behaviour_pairs,
    context_pairs,
    join_pairs,
    shared_weights,
)
from easq.questionnaire import is_eligible
from easq.samples import BehaviourOrder, Flat, flatten
from easq.train.batch import PAIRS, Batch, Labels, Reads, Views
from easq.train.learnable import learnable, pair_tensors, renumbered, select
from easq.train.share import WindowShare


class Asked(NamedTuple):
    """An answered request of the step and the user's earlier ones that it pairs with."""

    row: int  # in the window
    user_id: int
    sample: Remembered
    partners: list[pa.Table]


class Collator:
    """Cuts windows into batches and keeps the answer memory up to date."""

    def __init__(
        self,
        spec: FeatureSpec,
        order: BehaviourOrder,
        pairs: PairsConfig,
        memory: AnswerMemory,
        reads: Reads = PAIRS,
    ) -> None:
        self.spec, self.order, self.memory, self.reads = spec, order, memory, reads
        self.pairs = pairs if reads.pairs else NO_ANSWERS

    def batches(self, share: WindowShare, batch: int, rank: int, world: int) -> Iterator[Batch]:
        """The batches of a window in order; taking one remembers the answers before the next."""
        for start in range(0, share.num_requests, batch):
            end = min(start + batch, share.num_requests)
            asked = self._ask(share, start, end)
            mine = share.rows.slice(start // world, -(-(end - rank) // world) - start // world)
            rows_of = {row: i for i, row in enumerate(range(start + rank, end, world))}
            yield self._batch(mine, asked, rows_of)

    def _ask(self, share: WindowShare, start: int, end: int) -> list[Asked]:
        """Look up partners of each answered request, in order, and remember it."""
        asked = []
        for i in np.flatnonzero((share.answered_rows >= start) & (share.answered_rows < end)):
            sample = remembered(share.answered.take([int(i)]).combine_chunks())
            user = sample.row.column("user_id")[0].as_py()
            partners = self.memory.partners(user, sample) if self.pairs.user_window else []
            asked.append(Asked(int(share.answered_rows[i]), user, sample, partners))
            self.memory.insert(user, sample)
        return asked

    def _batch(self, mine: pa.Table, asked: list[Asked], rows_of: dict[int, int]) -> Batch:
        local = [a for a in asked if a.row in rows_of]
        partners = [row for a in local for row in a.partners]
        flat = flatten(pa.concat_tables([mine, *partners]) if partners else mine)
        groups = _groups(len(flat.user_id), mine.num_rows, local, rows_of)
        is_new = np.arange(len(flat.user_id)) < mine.num_rows
        main = self._behaviour(flat, is_new)
        satisfaction = self._questionnaire(flat, is_new, groups)
        answered, cross = self._cross(flat, asked, rows_of)
        labelled = self._labelled(flat, is_new)
        viewed = self._viewed(flat, is_new)
        used = np.concatenate([answered[answered >= 0], labelled, viewed])
        whole = flat.is_behaviour & is_new & self.reads.every_request
        kept, renumber = learnable(flat, [main, satisfaction], used, whole)
        return Batch(
            encode(self.spec, select(flat.columns, kept)),
            pair_tensors(main, renumber),
            pair_tensors(satisfaction, renumber),
            torch.from_numpy(renumbered(answered, renumber)),
            pair_tensors(cross, None),
            Labels(
                torch.from_numpy(renumber[labelled]),
                torch.from_numpy(flat.answer[labelled] == Answer.SATISFIED),
            ),
            _views(flat, viewed, renumber),
        )

    def _labelled(self, flat: Flat, is_new: np.ndarray) -> np.ndarray:
        """Candidates with an answer that decides, for methods that learn from each by itself."""
        decided = np.isin(flat.answer, (Answer.SATISFIED, Answer.DISSATISFIED))
        return np.flatnonzero(decided & is_new[flat.request] & self.reads.labels)

    def _viewed(self, flat: Flat, is_new: np.ndarray) -> np.ndarray:
        """Exposed candidates of behaviour samples, for heads that predict each behaviour."""
        learns = (flat.is_behaviour & is_new)[flat.request]
        return np.flatnonzero(flat.exposed & learns & self.reads.views)

    def _behaviour(self, flat: Flat, is_new: np.ndarray) -> Pairs:
        """B+ of behaviour samples; remembered rows and answer samples are masked out."""
        learns = (flat.is_behaviour & is_new)[flat.request]
        return behaviour_pairs(
            self.order.levels(flat.behaviours), flat.exposed & learns, flat.request
        )

    def _questionnaire(self, flat: Flat, is_new: np.ndarray, groups: np.ndarray) -> Pairs:
        new = is_new[flat.request]
        parts = []
        if self.pairs.request_context:
            parts.append(
                context_pairs(
                    flat.answer,
                    self.order.levels(flat.behaviours),
                    flat.exposed & new,
                    flat.watched_seconds,
                    flat.duration_seconds,
                    flat.request,
                    self._context_weights(),
                )
            )
        if self.pairs.user_window:
            index = np.flatnonzero(flat.answer != Answer.NONE)
            parts += self._windows(index, flat.answer[index], groups[flat.request[index]], new)
        return join_pairs(parts)

    def _windows(
        self, index: np.ndarray, answer: np.ndarray, group: np.ndarray, new: np.ndarray
    ) -> Iterator[Pairs]:
        """D+ of each user window; of two answers, one at least must be new."""
        for one in np.unique(group[group >= 0]):
            here = group == one
            fresh = new[index[here]]
            allowed = fresh[:, None] | fresh
            yield self._answers(index[here], answer[here], allowed, self.pairs.user_window)

    def _context_weights(self) -> ContextWeights:
        counts = self.memory.counts
        return balanced_weights(
            self.pairs.request_context, counts[Answer.SATISFIED], counts[Answer.DISSATISFIED]
        )

    def _answers(
        self, index: np.ndarray, answer: np.ndarray, allowed: np.ndarray, weight: float
    ) -> Pairs:
        return answer_pairs(index, answer, allowed, weight, self.pairs.uncertain)

    def _cross(
        self, flat: Flat, asked: list[Asked], rows_of: dict[int, int]
    ) -> tuple[np.ndarray, Pairs]:
        """Answered candidates of the whole step, their flat positions here, and their pairs."""
        first = np.cumsum(flat.columns.lengths) - flat.columns.lengths
        position, user, answer = [], [], []
        if self.pairs.cross_user or self.pairs.cross_user_alignment:
            for a in asked:
                given = a.sample.row.column("answer").chunk(0).flatten().to_numpy()
                where = np.flatnonzero(given != Answer.NONE)
                here = a.row in rows_of
                position.append(first[rows_of[a.row]] + where if here else np.full(len(where), -1))
                user.append(np.full(len(where), a.user_id))
                answer.append(given[where])
        if not position:
            return np.zeros(0, np.int64), join_pairs([])
        users = np.concatenate(user)
        allowed = users[:, None] != users
        pairs = self._answers(np.arange(len(users)), np.concatenate(answer), allowed, 1.0)
        return np.concatenate(position).astype(np.int64), shared_weights(pairs)


def _views(flat: Flat, viewed: np.ndarray, renumber: np.ndarray) -> Views:
    """An effective view is to be predicted of every view; what follows it of eligible ones."""
    done = np.stack([flat.behaviours[name][viewed] for name in BEHAVIOURS], axis=1)
    eligible = is_eligible(flat.watched_seconds[viewed], flat.duration_seconds[viewed])
    first = np.array(BEHAVIOURS) == "effective_view"
    counts = eligible[:, None] | first
    return Views(
        torch.from_numpy(renumber[viewed]), torch.from_numpy(done), torch.from_numpy(counts)
    )


def _groups(
    num_requests: int, num_mine: int, local: list[Asked], rows_of: dict[int, int]
) -> np.ndarray:
    """Which answered request each request of the batch pairs with (itself included), or -1."""
    groups = np.full(num_requests, -1)
    following = num_mine
    for a in local:
        groups[rows_of[a.row]] = a.row
        groups[following : following + len(a.partners)] = a.row
        following += len(a.partners)
    return groups
