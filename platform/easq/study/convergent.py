"""Do answers agree with behaviour? What viewers did on the videos they answered about (Fig. 3).

On views with an answer, the rate of each behaviour is set against what the same viewers do on
all their views: the sum of what happened over the sum of each viewer's average.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from easq.events import BEHAVIOURS, Answer
from easq.samples import flatten
from easq.study.intervals import Draws, Interval, Statistic, draw

ANSWERS = (Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED)


class Counts(NamedTuple):
    """Of U users; counts of views and behaviours add over days."""

    users: np.ndarray  # ascending
    views: np.ndarray  # [U]
    did: np.ndarray  # [behaviour, U]
    answered: np.ndarray  # [answer, U]
    did_answered: np.ndarray  # [answer, behaviour, U]


def counts(samples: pa.Table) -> Counts:
    """Count some samples; only what was shown is a view."""
    flat = flatten(samples)
    users, user = np.unique(flat.user_id, return_inverse=True)
    of = user[flat.request]

    def count(rows: np.ndarray) -> np.ndarray:
        return np.bincount(of[rows & flat.exposed], minlength=len(users))

    did = [flat.behaviours[name] for name in BEHAVIOURS]
    gave = [flat.answer == answer for answer in ANSWERS]
    return Counts(
        users,
        count(np.ones(len(of), dtype=bool)),
        np.stack([count(d) for d in did]),
        np.stack([count(a) for a in gave]),
        np.stack([[count(a & d) for d in did] for a in gave]),
    )


def added(parts: Sequence[Counts]) -> Counts:
    """The counts of several days, which may share users."""
    users = np.unique(np.concatenate([part.users for part in parts]))

    def add(name: str) -> np.ndarray:
        return reduce(np.add, (_spread(part.users, getattr(part, name), users) for part in parts))

    return Counts(users, add("views"), add("did"), add("answered"), add("did_answered"))


def _spread(users: np.ndarray, values: np.ndarray, onto: np.ndarray) -> np.ndarray:
    wide = np.zeros((*values.shape[:-1], len(onto)), values.dtype)
    wide[..., np.searchsorted(onto, users)] = values
    return wide


def sums(counted: Counts) -> np.ndarray:
    """[1, answer, behaviour, 2, U]: what was done on answered views, what those viewers average."""
    average = counted.did / np.maximum(counted.views, 1)
    expected = counted.answered[:, None] * average
    return np.stack([counted.did_answered, expected], axis=2)[None]


class Shift(NamedTuple):
    """Behaviour on the views of one answer."""

    answers: int
    change: dict[str, Interval]  # behaviour -> % of the viewers' average
    always: tuple[str, ...]  # behaviours shown on every one of the views


def convergent(histories: Sequence[Counts]) -> dict[str, Shift]:
    """The shifts of every answer that was given; one history, or one of each world."""
    draws = draw([sums(counted) for counted in histories])
    given = np.sum([counted.answered.sum(-1) for counted in histories], axis=0)
    did = np.sum([counted.did_answered.sum(-1) for counted in histories], axis=0)
    return {
        answer.name.lower(): Shift(int(given[a]), _changes(draws, a), _always(did[a], given[a]))
        for a, answer in enumerate(ANSWERS)
        if given[a]
    }


def _changes(draws: Draws, answer: int) -> dict[str, Interval]:
    return {name: draws.interval(_change(answer, b)) for b, name in enumerate(BEHAVIOURS)}


def _always(did: np.ndarray, views: int) -> tuple[str, ...]:
    return tuple(name for name, count in zip(BEHAVIOURS, did, strict=True) if count == views)


def _change(answer: int, behaviour: int) -> Statistic:
    return lambda means: 100 * (means[..., answer, behaviour].mean(-1) - 1)
