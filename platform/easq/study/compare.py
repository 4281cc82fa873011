"""What a comparison found: Table 1, the trade-off curves, and one number a method and budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from easq.study.curves import BUDGETS
from easq.study.evidence import Evidence, evidence
from easq.study.intervals import Draws, Interval, draw
from easq.study.measures import (
    SUBJECT,
    ahead,
    costs,
    first,
    gains,
    improvement,
    mean_of,
    reached,
)
from easq.study.methods import Method
from easq.study.plan import Plan
from easq.study.user_sums import (
    ALL,
    ANSWERS,
    FURTHER_ANSWERS,
    TOP_BEHAVIOUR,
    TOP_UNSEEN,
    TOP_Z,
    TRUE_BEHAVIOUR,
    TRUTH,
)

AFFORDED = BUDGETS[-1]
"""A knob is chosen among the values that cost at most so much behaviour, in % (validation days)."""

SAME_DEPTH = {TRUE_BEHAVIOUR: TRUTH, TOP_BEHAVIOUR: TOP_Z}
"""What viewers would have done with all candidates, and the satisfaction of as many places."""


class Place(NamedTuple):
    """A point of a curve."""

    value: float  # of the knob
    cost: Interval  # % of EMER's behaviour
    gain: dict[str, Interval]  # over EMER, of each of its measures of satisfaction
    gauc: Interval  # long-view GAUC less EMER's


class Curve(NamedTuple):
    """A method's points, and what it gains within a budget of behaviour."""

    places: list[Place]
    gain_at: dict[str, dict[float, Interval]]  # measure -> budget in % -> gain over EMER
    ahead: dict[str, dict[float, Interval]]  # measure -> budget -> the subject's gain less it


class Row(NamedTuple):
    """A method in Table 1, at the value of its knob that the validation days chose."""

    value: float
    columns: dict[str, Interval]  # of ANSWERS and FURTHER_ANSWERS
    improvement: Interval | None  # of the subject over it in %, mean of six gains


class Table(NamedTuple):
    """Table 1 of one scenario."""

    lists: list[int]  # judged in each world, one a viewer: all that the viewer answered about
    rows: dict[str, Row]  # method


class Comparison(NamedTuple):
    """Everything found."""

    subject: str  # the method that the others are compared with
    base: dict[str, Interval]  # EMER's behaviour, GAUC and satisfaction
    curves: dict[str, Curve]
    tables: dict[str, Table]  # scenario
    true: dict[str, dict[str, Curve]]  # cost of SAME_DEPTH -> curves over it
    unseen: dict[str, list[Interval]]  # TOP_UNSEEN at each point of a method, over EMER's


def compare(
    plan: Plan, methods: Mapping[str, Method], out: Path, subject: str = SUBJECT
) -> Comparison:
    """Read finished trials and judge. Raises FileNotFoundError where one has not finished."""
    test = evidence(plan, methods, out, "test", ALL)
    draws = draw(test.worlds)
    base, curves = at_equal_behaviour(test, draws, methods, subject)
    true = {}
    for cost, measure in SAME_DEPTH.items():
        by_truth = test._replace(behaviour=cost, measures=(measure,))
        levels, true[cost] = at_equal_behaviour(by_truth, draws, methods, subject)
        base |= levels
    chosen = _chosen(evidence(plan, methods, out, "validation", ALL))
    contenders = {name: m for name, m in methods.items() if not m.is_ceiling}
    tables = {
        scenario: _table(
            evidence(plan, methods, out, "test", scenario), subject, contenders, chosen
        )
        for scenario in (ALL, *plan.scenarios)
    }
    return Comparison(subject, base, curves, tables, true, _unseen(test, draws))


def _unseen(test: Evidence, draws: Draws) -> dict[str, list[Interval]]:
    each = {name: range(at.start, at.stop) for name, at in test.places.items()}
    return {
        name: [
            draws.interval(first(gains(test, slice(point, point + 1), TOP_UNSEEN)))
            for point in points
        ]
        for name, points in each.items()
    }


def at_equal_behaviour(
    test: Evidence, draws: Draws, methods: Mapping[str, Method], subject: str
) -> tuple[dict[str, Interval], dict[str, Curve]]:
    """Where EMER stands, and the curves of all methods beside the subject's."""
    levels = dict.fromkeys((test.behaviour, test.gauc, *test.measures))
    base = {name: draws.interval(mean_of(test, test.base, name)) for name in levels}
    return base, {n: curve(test, draws, subject, n, m) for n, m in methods.items()}


def curve(test: Evidence, draws: Draws, subject: str, name: str, method: Method) -> Curve:
    """A method's curve and what it reaches, by itself and against the subject's.

    Another questionnaire makes other answers: its method has no gain among them.
    """
    start, measures = test.places[name].start, test.measures
    if method.questionnaire is not None:
        measures = tuple(m for m in measures if m not in ANSWERS)
        test = test._replace(measures=measures)
    places = [place(test, draws, start + i, value) for i, value in enumerate(method.values)]
    at = {m: {b: draws.interval(reached(test, name, m, b)) for b in BUDGETS} for m in measures}
    lead = {
        m: {b: draws.interval(ahead(test, subject, name, m, b)) for b in BUDGETS} for m in measures
    }
    return Curve(places, at, lead)


def place(test: Evidence, draws: Draws, point: int, value: float) -> Place:
    """One point against EMER."""
    only = slice(point, point + 1)
    gained = {m: draws.interval(first(gains(test, only, m))) for m in test.measures}
    gauc = draws.interval(first(gains(test, only, test.gauc)))
    return Place(value, draws.interval(first(costs(test, only))), gained, gauc)


def _chosen(validation: Evidence) -> dict[str, int]:
    """Which value of each knob: the most answer NDCG@5 among the affordable, else the cheapest."""
    means = draw(validation.worlds, n=1).observed
    chosen = {}
    for name, points in validation.places.items():
        cost = costs(validation, points)(means)
        answers = means[:, points, validation.metrics.index(ANSWERS[0])].mean(0)
        affordable = (cost <= AFFORDED) & np.isfinite(answers)
        best = np.where(affordable, answers, -np.inf).argmax()
        cheapest = np.where(np.isfinite(cost), cost, np.inf).argmin()
        chosen[name] = int(best if affordable.any() else cheapest)
    return chosen


def _table(
    test: Evidence, subject: str, methods: Mapping[str, Method], chosen: Mapping[str, int]
) -> Table:
    draws = draw(test.worlds)
    at = {name: test.places[name].start + chosen[name] for name in methods}
    columns = (*ANSWERS, *FURTHER_ANSWERS)
    rows = {
        name: Row(
            method.values[chosen[name]],
            {column: draws.interval(mean_of(test, at[name], column)) for column in columns},
            None if name == subject else draws.interval(improvement(test, at[subject], at[name])),
        )
        for name, method in methods.items()
    }
    return Table(_lists(test), rows)


def _lists(test: Evidence) -> list[int]:
    """Viewers with a list of answers, in each world; seeds and methods share them."""
    weights = [w[0, test.base, test.metrics.index(ANSWERS[0]), 1] for w in test.worlds]
    return [int(np.count_nonzero(weight)) for weight in weights]
