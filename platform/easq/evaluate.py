"""What is measured of a window: behaviour inside requests, satisfaction across a user's requests.

Behaviour lists stay inside a request, so workers add their `Sums`. Satisfaction lists span the
requests of a user, which live on several workers: those exchange `Answered` (a few numbers an
answer) and the sums are taken once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from easq.events import Answer
from easq.metrics import (
    PerList,
    Ranked,
    auc,
    hit_rate,
    ndcg,
    percentile,
    rank,
    reciprocal_rank,
)
from easq.samples import BehaviourOrder, Flat

CUTOFFS = (1, 5, 10, 20)


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of named metrics beside their weights; the same names whatever the data."""

    names: tuple[str, ...]
    table: np.ndarray
    """[metric, 2]: sum and weight; what an all-reduce adds."""

    def __add__(self, other: "Sums") -> "Sums":
        if self.names != other.names:
            raise ValueError(f"only sums of the same metrics add: {self.names}, {other.names}")
        return Sums(self.names, self.table + other.table)

    def as_dict(self) -> dict[str, float]:
        """The mean of each metric that has any weight."""
        rows = zip(self.names, self.table.tolist(), strict=True)
        return {name: total / weight for name, (total, weight) in rows if weight > 0}


class Answered(NamedTuple):
    """Answered candidates, and where the model put them in their requests; A of them."""

    user_id: np.ndarray  # int [A]
    percentile: np.ndarray  # float [A]
    answer: np.ndarray  # int [A], of events.Answer


def behaviour_lists(flat: Flat, scores: np.ndarray, order: BehaviourOrder) -> Ranked:
    """The exposed candidates of each request; `flat.user_id[ids]` are their users.

    A hit is a candidate of level 1 or more.
    """
    return _exposed_lists(flat, scores, behaviour_gains(order.levels(flat.behaviours)))


def behaviour_gains(levels: np.ndarray) -> np.ndarray:
    """NDCG's gain of each level of behaviour, [N]; nothing below level 1."""
    return 2.0 ** np.maximum(levels, 0) - 1


def long_view_lists(flat: Flat, scores: np.ndarray) -> Ranked:
    """The same lists; the relevant candidates are those watched for long."""
    return _exposed_lists(flat, scores, flat.behaviours["long_view"])


def behaviour_sums(flat: Flat, scores: np.ndarray, order: BehaviourOrder) -> Sums:
    """Means over requests; GAUC is weighted by rows."""
    gauc = auc(long_view_lists(flat, scores))
    return _sums(
        {
            **_by_list("behaviour", behaviour_lists(flat, scores, order)),
            "behaviour/long_view_gauc": (float(gauc.values @ gauc.rows), gauc.rows.sum()),
        }
    )


def answered(flat: Flat, scores: np.ndarray) -> Answered:
    """Scores of a ranker of sets do not compare across requests; percentiles in them do."""
    _check(flat, scores)
    place, rows = percentile(scores, flat.request), np.flatnonzero(flat.answer != Answer.NONE)
    return Answered(flat.user_id[flat.request[rows]], place[rows], flat.answer[rows])


def merge(parts: Iterable[Answered]) -> Answered:
    """The answers of several workers or windows, which may share users."""
    return Answered(*(np.concatenate(field) for field in zip(*parts, strict=True)))


def satisfaction_lists(answers: Answered) -> Ranked:
    """The answers of each user, ids are users: Satisfied against Uncertain and Dissatisfied.

    Users without one of each are left out.
    """
    satisfied = answers.answer == Answer.SATISFIED
    mixed = np.isin(answers.user_id, answers.user_id[~satisfied])
    return rank(answers.percentile[mixed], satisfied[mixed], answers.user_id[mixed])


def pair_accuracy(answers: Answered) -> PerList:
    """Of each user's pairs Satisfied and Dissatisfied, the share in the right order."""
    decided = answers.answer != Answer.UNCERTAIN
    user, place, answer = (field[decided] for field in answers)
    return auc(rank(place, answer == Answer.SATISFIED, user))


def satisfaction_sums(answers: Answered, prefix: str = "satisfaction") -> Sums:
    """Means over users (EASQ §5.1.2), however many answers each gave."""
    pairs = pair_accuracy(answers)
    return _sums(
        {
            **_by_list(prefix, satisfaction_lists(answers)),
            f"{prefix}/pair_accuracy": (pairs.values.sum(), len(pairs.values)),
        }
    )


def _exposed_lists(flat: Flat, scores: np.ndarray, gains: np.ndarray) -> Ranked:
    """Answer samples are left out: their behaviour is not complete yet."""
    _check(flat, scores)
    rows = flat.exposed & flat.is_behaviour[flat.request]
    return rank(scores[rows], gains[rows], flat.request[rows])


def _check(flat: Flat, scores: np.ndarray) -> None:
    if scores.shape != flat.exposed.shape:
        raise ValueError(f"expected one score a candidate, {flat.exposed.shape}: {scores.shape}")


def _by_list(prefix: str, ranked: Ranked) -> dict[str, tuple[float, float]]:
    lists = {f"ndcg_{k}": ndcg(ranked, k) for k in CUTOFFS}
    lists |= {f"hr_{k}": hit_rate(ranked, k) for k in CUTOFFS}
    lists["mrr"] = reciprocal_rank(ranked)
    return {f"{prefix}/{name}": (x.values.sum(), len(x.values)) for name, x in lists.items()}


def _sums(named: dict[str, tuple[float, float]]) -> Sums:
    return Sums(tuple(named), np.array(list(named.values()), dtype=np.float64))
