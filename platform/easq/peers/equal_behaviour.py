"""Methods on a real log where they cost the same behaviour.

Behaviour is long-view GAUC inside user-days, its cost in % of EMER's; satisfaction is how far
likes that nobody was taught stand above the other candidates of their user-day.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from easq.peers.judge import HIDDEN_HATE, HIDDEN_LIKE, LONG_VIEW, Truth, lists_of
from easq.study.compare import Comparison, Curve, Place
from easq.study.curves import BUDGETS, cost_percent, from_base, gain, gain_at
from easq.study.intervals import Draws, Interval, Statistic, draw
from easq.study.measures import first
from easq.study.methods import BASE, Method

ASKED = (LONG_VIEW, HIDDEN_LIKE, HIDDEN_HATE)
SATISFACTION = (HIDDEN_LIKE, HIDDEN_HATE)

Rankings = Mapping[str, Sequence[Sequence[np.ndarray]]]
"""Scores of all candidates, by method, point of its curve, and training seed."""


class Points(NamedTuple):
    """P points of all methods, each method's beside each other."""

    sums: np.ndarray  # [seed, P, question, 2, user]: AUC times rows, and rows
    places: dict[str, slice]

    @property
    def base(self) -> int:
        """Where EMER is."""
        return self.places[BASE].start


def points_of(truth: Truth, rankings: Rankings) -> Points:
    """Judge every ranking."""
    places, points = {}, []
    for name, of_method in rankings.items():
        places[name] = slice(len(points), len(points) + len(of_method))
        points += [np.stack([user_sums(truth, scores) for scores in seeds]) for seeds in of_method]
    return Points(np.stack(points, axis=1), places)


def user_sums(truth: Truth, scores: np.ndarray) -> Float[np.ndarray, "question 2 user"]:
    """What each user adds to the row-weighted mean of each question."""
    users, user = np.unique(truth.flat.user_id, return_inverse=True)
    lists = lists_of(truth, scores)
    sums = np.empty((len(ASKED), 2, len(users)))
    for number, question in enumerate(ASKED):
        ids, values, rows = lists[question]
        sums[number] = [np.bincount(user[ids], w, len(users)) for w in (values * rows, rows)]
    return sums


class Found(NamedTuple):
    """A comparison at equal behaviour."""

    comparison: Comparison
    above: dict[str, dict[float, Interval]]
    """Rival -> value of the subject's knob -> hidden likes of the subject there less those of the
    rival's curve at the same cost."""


def compare(
    points: Points, methods: Mapping[str, Method], subject: str, rivals: Sequence[str]
) -> Found:
    """Curves of all methods, and the subject against each where they cost the same."""
    draws = draw([points.sums])
    base = {name: draws.interval(_mean_of(points.base, name)) for name in ASKED}
    curves = {name: _curve(points, draws, subject, name, m.values) for name, m in methods.items()}
    start = points.places[subject].start
    above = {
        rival: {
            value: draws.interval(_above(points, start + i, rival))
            for i, value in enumerate(methods[subject].values)
        }
        for rival in rivals
    }
    return Found(Comparison(subject, base, curves, {}), above)


def _curve(
    points: Points, draws: Draws, subject: str, name: str, values: tuple[float, ...]
) -> Curve:
    start = points.places[name].start
    places = [_place(points, draws, start + i, value) for i, value in enumerate(values)]
    at = {
        q: {b: draws.interval(_reached(points, name, q, b)) for b in BUDGETS} for q in SATISFACTION
    }
    ahead = {
        q: {b: draws.interval(_ahead(points, subject, name, q, b)) for b in BUDGETS}
        for q in SATISFACTION
    }
    return Curve(places, at, ahead)


def _place(points: Points, draws: Draws, point: int, value: float) -> Place:
    only = slice(point, point + 1)
    gained = {q: draws.interval(first(_gains(points, only, q))) for q in SATISFACTION}
    gauc = draws.interval(first(_gains(points, only, LONG_VIEW)))
    return Place(value, draws.interval(first(_costs(points, only))), gained, gauc)


def _mean_of(point: int, question: str) -> Statistic:
    q = ASKED.index(question)
    return lambda means: means[..., point, q].mean(-1)


def _costs(points: Points, of: slice) -> Statistic:
    q, base = ASKED.index(LONG_VIEW), points.base
    return lambda means: cost_percent(means[..., of, q], means[..., base, q])


def _gains(points: Points, of: slice, question: str) -> Statistic:
    q, base = ASKED.index(question), points.base
    return lambda means: gain(means[..., of, q], means[..., base, q])


def _reached(points: Points, name: str, question: str, budget: float) -> Statistic:
    """Gain of a method's curve where it costs `budget` %."""
    place = points.places[name]
    cost, gained = _costs(points, place), _gains(points, place, question)
    return lambda means: gain_at(from_base(cost(means)), from_base(gained(means)), budget)


def _ahead(points: Points, subject: str, name: str, question: str, budget: float) -> Statistic:
    mine, other = (_reached(points, n, question, budget) for n in (subject, name))
    return lambda means: mine(means) - other(means)


def _above(points: Points, point: int, rival: str) -> Statistic:
    """A point that costs less than nothing is compared with EMER."""
    only, curve = slice(point, point + 1), points.places[rival]
    cost, gained = first(_costs(points, only)), first(_gains(points, only, HIDDEN_LIKE))
    of_cost, of_gain = _costs(points, curve), _gains(points, curve, HIDDEN_LIKE)

    def statistic(means: np.ndarray) -> np.ndarray:
        at_cost = np.maximum(cost(means), 0)
        return gained(means) - gain_at(
            from_base(of_cost(means)), from_base(of_gain(means)), at_cost
        )

    return statistic
