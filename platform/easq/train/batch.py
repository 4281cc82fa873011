"""From a window's samples to the batches of its steps, the same for any number of workers.

Row i of a window belongs to rank i mod world size; a step takes `batch` rows over all ranks.
Every rank sees all answered rows of the window, so the answer memory needs no exchange.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from easq.answer_memory import AnswerMemory, Remembered, remembered
from easq.encoding import Inputs, encode
from easq.events import BEHAVIOURS, Answer
from easq.features import Columns, FeatureSpec
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
from easq.train.share import WindowShare


class PairTensors(NamedTuple):
    """Pairs on the device of the model."""

    preferred: Tensor
    other: Tensor
    weight: Tensor


class Labels(NamedTuple):
    """Candidates whose viewers said Satisfied or Dissatisfied."""

    position: Tensor  # int64 [label]
    satisfied: Tensor  # 1 or 0, [label]


class Views(NamedTuple):
    """Exposed candidates and what their viewers did."""

    position: Tensor  # int64 [view]
    done: Tensor  # 1 or 0, [view, behaviour]
    counts: Tensor  # 1 or 0: whether it is to be predicted of this view, [view, behaviour]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Views":
        position, *labels = self
        return Views(position.to(device), *(label.to(device, dtype) for label in labels))


NO_VIEWS = Views(torch.zeros(0, dtype=torch.int64), *torch.zeros(2, 0, len(BEHAVIOURS)))
NO_LABELS = Labels(torch.zeros(0, dtype=torch.int64), torch.zeros(0))


class Reads(NamedTuple):
    """What a method learns from beside the behaviour pairs."""

    pairs: bool = False  # D+
    labels: bool = False  # each answer by itself
    every_request: bool = False  # also requests without any pair or label
    views: bool = False  # each behaviour by itself


PAIRS = Reads(pairs=True)


class Batch(NamedTuple):
    """One rank's part of a step."""

    inputs: Inputs
    main: PairTensors  # B+
    satisfaction: PairTensors  # D+ of request context and user window
    answered: Tensor  # all answered candidates of the step: flat position here, or -1
    cross: PairTensors  # D+ across users, positions in `answered`
    labels: Labels = NO_LABELS
    views: Views = NO_VIEWS

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        return Batch(
            self.inputs.to(device, dtype),
            _pairs_to(self.main, device, dtype),
            _pairs_to(self.satisfaction, device, dtype),
            self.answered.to(device),
            _pairs_to(self.cross, device, dtype),
            Labels(self.labels.position.to(device), self.labels.satisfied.to(device, dtype)),
            self.views.to(device, dtype),
        )


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
        kept, renumber = _learnable(flat, [main, satisfaction], used, whole)
        return Batch(
            encode(self.spec, _select(flat.columns, kept)),
            _tensors(main, renumber),
            _tensors(satisfaction, renumber),
            torch.from_numpy(_renumbered(answered, renumber)),
            _tensors(cross, None),
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


def _learnable(
    flat: Flat, pairs: list[Pairs], single: np.ndarray, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Requests that teach something, and the flat positions candidates have without the others.

    A request without a pair has no gradient; leaving it out saves its forward pass and keeps
    its rows from counting as touched. `single` are candidates that teach without a partner,
    `whole` requests [R] that do as they are.
    """
    used = whole.copy()
    request = flat.request
    for part in pairs:
        used[request[np.concatenate([part.preferred, part.other])]] = True
    used[request[single]] = True
    kept_candidates = used[request]
    return used, np.cumsum(kept_candidates) - 1


def _renumbered(answered: np.ndarray, renumber: np.ndarray) -> np.ndarray:
    positions = answered.copy()
    own = answered >= 0
    positions[own] = renumber[answered[own]]
    return positions


def _select(columns: Columns, kept: np.ndarray) -> Columns:
    """The kept requests only."""
    if kept.all():
        return columns
    of_candidate = np.repeat(kept, columns.lengths)
    return Columns(
        {name: values[kept] for name, values in columns.user.items()},
        {name: values[of_candidate] for name, values in columns.item.items()},
        [s for s, keep in zip(columns.scenario, kept, strict=True) if keep],
        columns.time_ms[kept],
        columns.lengths[kept],
    )


def _tensors(pairs: Pairs, renumber: np.ndarray | None) -> PairTensors:
    preferred, other = pairs.preferred, pairs.other
    if renumber is not None and len(preferred):
        preferred, other = renumber[preferred], renumber[other]
    return PairTensors(
        torch.from_numpy(preferred.astype(np.int64)),
        torch.from_numpy(other.astype(np.int64)),
        torch.from_numpy(pairs.weight),
    )


def _pairs_to(pairs: PairTensors, device: torch.device, dtype: torch.dtype) -> PairTensors:
    return PairTensors(
        pairs.preferred.to(device), pairs.other.to(device), pairs.weight.to(device, dtype)
    )
