"""Which candidate is preferred to which: B+ of Eq. 11 and D+ of Eqs. 15-16.

All indices are positions in the flat candidates of a batch. The paper does not say how D+ is
built; two answers of one user in one request never happen at real rates, so D+ mixes three
sources (DECISIONS.md, "questionnaire pairs").
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import BaseModel, ConfigDict, Field

from easq.events import Answer
from easq.questionnaire import is_eligible

Index = Int[np.ndarray, "candidate"]
Flags = Bool[np.ndarray, "candidate"]


class PairsConfig(BaseModel):
    """Weights of the sources of D+; a weight of 0 leaves a source out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    request_context: float = Field(default=1.0, ge=0)
    """An answered item against the other exposed items of its request; an answer's pairs share
    this weight, and Satisfied and Dissatisfied answers weigh the same in sum."""
    user_window: float = Field(default=1.0, ge=0)
    """Opposite answers of one user, through the answer memory."""
    cross_user: float = Field(default=0.5, ge=0)
    """Opposite answers of different users in a step, for L_satis; an answer's pairs share this
    weight, or they would outgrow the other sources with the square of the answers a step."""
    cross_user_alignment: float = Field(default=0.0, ge=0)
    """The same for L_DPO: a set ranker's scores are not comparable across users."""
    window_days: float = Field(default=30.0, gt=0)
    remembered_per_user: int = Field(default=4, ge=1)
    uncertain: Literal["drop", "middle"] = "drop"
    """middle: Satisfied > Uncertain > Dissatisfied, at half weight."""


NO_ANSWERS = PairsConfig(request_context=0, user_window=0, cross_user=0, cross_user_alignment=0)
"""For methods that learn from behaviour alone."""


class Pairs(NamedTuple):
    """Flat positions of preferred and other candidates, with weights."""

    preferred: Int[np.ndarray, "pair"]
    other: Int[np.ndarray, "pair"]
    weight: Float[np.ndarray, "pair"]

    @property
    def total(self) -> float:
        return float(self.weight.sum())


def no_pairs() -> Pairs:
    return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def join_pairs(parts: list[Pairs]) -> Pairs:
    if not parts:
        return no_pairs()
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def behaviour_pairs(level: Index, exposed: Flags, request: Int[np.ndarray, "candidate"]) -> Pairs:
    """B+ of Eq. 11: exposed candidates of one request, the higher behaviour level preferred.

    A request's pairs share a weight of 1, so that neither long lists nor lambda depend on how
    many candidates there are.
    """
    shown = np.flatnonzero(exposed)
    left, right = _ordered_pairs(request[shown])
    left, right = shown[left], shown[right]
    better = level[left] > level[right]
    left, right = left[better], right[better]
    in_request = request[left]
    return Pairs(left, right, 1.0 / np.bincount(in_request)[in_request])


def _ordered_pairs(group: Shaped[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs (i, j), i != j, with group[i] == group[j]; equal groups stand together."""
    if len(group) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sizes = np.diff(np.r_[starts, len(group)])
    size_of = np.repeat(sizes, sizes)
    left = np.repeat(np.arange(len(group)), size_of)
    within = np.arange(len(left)) - np.repeat(np.cumsum(size_of) - size_of, size_of)
    right = np.repeat(np.repeat(starts, sizes), size_of) + within
    different = left != right
    return left[different], right[different]


class ContextWeights(NamedTuple):
    """What the context pairs of one answer weigh together, by kind of answer.

    Viewers answer more often when they are satisfied. Without balance, "was answered" alone
    would lift an item, whatever the answer said; with it, shuffled answers teach nothing.
    """

    satisfied: float
    dissatisfied: float


def balanced_weights(weight: float, satisfied: int, dissatisfied: int) -> ContextWeights:
    """`weight` an answer on average, halved between the kinds given so many answers of each."""
    share = (satisfied + 1) / (satisfied + dissatisfied + 2)
    return ContextWeights(weight * 0.5 / share, weight * 0.5 / (1 - share))


def context_pairs(
    answer: Shaped[np.ndarray, "candidate"],
    level: Index,
    exposed: Flags,
    watched_seconds: Shaped[np.ndarray, "candidate"],
    duration_seconds: Shaped[np.ndarray, "candidate"],
    request: Int[np.ndarray, "candidate"],
    weights: ContextWeights,
) -> Pairs:
    """D+ from one answer: Satisfied above, Dissatisfied below exposed items that nobody answered.

    Not to answer is not the opposite of an answer: Satisfied is set only above items of no higher
    behaviour level. Both kinds meet only items that were watched long enough to be asked about,
    or the pairs would teach watching.
    """
    decided = np.isin(answer, (Answer.SATISFIED, Answer.DISSATISFIED))
    relevant = np.flatnonzero(exposed & np.isin(request, request[decided]))
    left, right = _ordered_pairs(request[relevant])
    asked, context = relevant[left], relevant[right]
    eligible = is_eligible(watched_seconds, duration_seconds)[context]
    open_context = eligible & (answer[context] == Answer.NONE)
    no_higher = level[context] <= level[asked]
    above = open_context & no_higher & (answer[asked] == Answer.SATISFIED)
    below = open_context & (answer[asked] == Answer.DISSATISFIED)
    up, down = asked[above], asked[below]
    return Pairs(
        np.concatenate([up, context[below]]),
        np.concatenate([context[above], down]),
        np.concatenate([_shared(up, weights.satisfied), _shared(down, weights.dissatisfied)]),
    )


def _shared(asked: Int[np.ndarray, "pair"], weight: float) -> Float[np.ndarray, "pair"]:
    """The weight of an answer, split evenly over its pairs."""
    return weight / np.bincount(asked)[asked] if len(asked) else np.zeros(0)


RANK = {Answer.SATISFIED: 2, Answer.UNCERTAIN: 1, Answer.DISSATISFIED: 0}


def answer_pairs(
    index: Int[np.ndarray, "answered"],
    answer: Shaped[np.ndarray, "answered"],
    allowed: Bool[np.ndarray, "answered answered"],
    weight: float,
    uncertain: str,
) -> Pairs:
    """D+ among answered candidates: every allowed pair of different answers, once.

    `allowed[a, b]` says whether a and b may meet (same user's window, or different users).
    """
    rank = _rank(answer)
    better = (rank[:, None] > rank[None, :]) & (rank[None, :] >= 0) & allowed
    unsure = (rank[:, None] == 1) | (rank[None, :] == 1)
    if uncertain == "drop":
        better &= ~unsure
    a, b = np.nonzero(better)
    return Pairs(index[a], index[b], np.where(unsure[a, b], 0.5, 1.0) * weight)


def shared_weights(pairs: Pairs) -> Pairs:
    """The same pairs, weighed so that those of one answer sum to about its own weight.

    A pair gets half of an even share from each of its two answers.
    """
    if not len(pairs.preferred):
        return pairs
    of_preferred, of_other = (
        np.bincount(index, pairs.weight)[index] for index in (pairs.preferred, pairs.other)
    )
    return pairs._replace(weight=pairs.weight * 0.5 * (1 / of_preferred + 1 / of_other))


def _rank(answer: Shaped[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    table = np.full(len(Answer), -1)
    for kind, rank in RANK.items():
        table[kind] = rank
    return table[answer]
