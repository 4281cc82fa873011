"""What a comparison found: Table 1, the trade-off curves, and one number a method and budget."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from easq.study.curves import BUDGETS, cost_percent, from_base, gain, gain_at
from easq.study.evidence import Evidence, evidence, metric
from easq.study.intervals import Draws, Interval, Statistic, draw
from easq.study.methods import Method
from easq.study.plan import Plan
from easq.study.user_sums import ALL, ANSWERS, BEHAVIOUR, TOP_Z, TRUTH

MEASURES = (TRUTH, TOP_Z, ANSWERS[0])
"""Satisfaction: NDCG@5 of the truth, mean z of what would be shown, NDCG@5 of answers."""
SUBJECT = "easq"
AFFORDED = BUDGETS[-1]
"""A knob is chosen among the values that cost at most so much behaviour, in % (validation days)."""


class Place(NamedTuple):
    """A point of a curve."""

    value: float  # of the knob
    cost: Interval  # % of EMER's behaviour NDCG@5
    gain: dict[str, Interval]  # over EMER, of each of MEASURES


class Curve(NamedTuple):
    """A method's points, and what it gains within a budget of behaviour."""

    places: list[Place]
    gain_at: dict[str, dict[float, Interval]]  # measure -> budget in % -> gain over EMER
    ahead: dict[str, dict[float, Interval]]  # measure -> budget -> gain of EASQ less the method's


class Row(NamedTuple):
    """A method in Table 1, at the value of its knob that the validation days chose."""

    value: float
    columns: dict[str, Interval]  # of ANSWERS
    improvement: Interval | None  # of EASQ over it in %, mean of the six relative gains


class Comparison(NamedTuple):
    """Everything found."""

    curves: dict[str, Curve]
    tables: dict[str, dict[str, Row]]  # scenario -> method


def compare(plan: Plan, methods: Mapping[str, Method], out: Path) -> Comparison:
    """Read finished trials and judge. Raises FileNotFoundError where one has not finished."""
    test = evidence(plan, methods, out, "test", ALL)
    draws = draw(test.worlds)
    curves = {name: _curve(test, draws, name, methods[name]) for name in methods}
    chosen = _chosen(evidence(plan, methods, out, "validation", ALL))
    contenders = [name for name, method in methods.items() if not method.is_ceiling]
    tables = {
        scenario: _table(
            evidence(plan, methods, out, "test", scenario), contenders, chosen, methods
        )
        for scenario in (ALL, *plan.scenarios)
    }
    return Comparison(curves, tables)


def _curve(test: Evidence, draws: Draws, name: str, method: Method) -> Curve:
    places = [
        Place(
            value,
            draws.interval(_first(_costs(test, _one(test, name, i)))),
            {m: draws.interval(_first(_gains(test, _one(test, name, i), m))) for m in MEASURES},
        )
        for i, value in enumerate(method.values)
    ]
    reached, ahead = {}, {}
    for m in MEASURES:
        reached[m] = {b: draws.interval(_reached(test, name, m, b)) for b in BUDGETS}
        ahead[m] = {b: draws.interval(_ahead(test, name, m, b)) for b in BUDGETS}
    return Curve(places, reached, ahead)


def _one(test: Evidence, name: str, i: int) -> slice:
    first = test.places[name].start + i
    return slice(first, first + 1)


def _first(statistic: Statistic) -> Statistic:
    return lambda means: statistic(means)[..., 0]


def _costs(test: Evidence, points: slice) -> Statistic:
    b = metric(BEHAVIOUR)
    return lambda means: cost_percent(means[..., points, b], means[..., test.base, b])


def _gains(test: Evidence, points: slice, measure: str) -> Statistic:
    m = metric(measure)
    return lambda means: gain(means[..., points, m], means[..., test.base, m])


def _reached(test: Evidence, name: str, measure: str, budget: float) -> Statistic:
    points = test.places[name]
    costs, gains = _costs(test, points), _gains(test, points, measure)
    return lambda means: gain_at(from_base(costs(means)), from_base(gains(means)), budget)


def _ahead(test: Evidence, name: str, measure: str, budget: float) -> Statistic:
    subject, other = (_reached(test, n, measure, budget) for n in (SUBJECT, name))
    return lambda means: subject(means) - other(means)


def _chosen(validation: Evidence) -> dict[str, int]:
    """Which value of each knob: the most answer NDCG@5 among the affordable, else the cheapest."""
    means = draw(validation.worlds, n=1).observed
    chosen = {}
    for name, points in validation.places.items():
        cost = _costs(validation, points)(means)
        answers = means[:, points, metric(ANSWERS[0])].mean(0)
        affordable = cost <= AFFORDED
        best = np.where(affordable, answers, -np.inf).argmax()
        chosen[name] = int(best if affordable.any() else cost.argmin())
    return chosen


def _table(
    test: Evidence, names: list[str], chosen: dict[str, int], methods: Mapping[str, Method]
) -> dict[str, Row]:
    draws = draw(test.worlds)
    at = {name: test.places[name].start + chosen[name] for name in names}
    return {
        name: Row(
            methods[name].values[chosen[name]],
            {column: draws.interval(_mean(at[name], metric(column))) for column in ANSWERS},
            None if name == SUBJECT else draws.interval(_improvement(at[SUBJECT], at[name])),
        )
        for name in names
    }


def _mean(point: int, column: int) -> Statistic:
    return lambda means: means[..., point, column].mean(-1)


def _improvement(subject: int, other: int) -> Statistic:
    """Unweighted mean of the relative gains in the six columns, in % (EASQ §5.2)."""
    columns = [metric(name) for name in ANSWERS]

    def statistic(means: np.ndarray) -> np.ndarray:
        a, b = (means[..., point, :][..., columns].mean(-2) for point in (subject, other))
        relative = np.divide(a, b, out=np.full(np.shape(a), np.nan), where=b != 0)
        return 100 * (relative - 1).mean(-1)

    return statistic


def as_json(found: Any) -> Any:
    """Records and intervals as JSON; what is not a number is null."""
    if (fields := getattr(found, "_fields", None)) is not None:
        return {name: as_json(value) for name, value in zip(fields, found, strict=True)}
    if isinstance(found, Mapping):
        return {str(name): as_json(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [as_json(value) for value in found]
    if isinstance(found, float) and not np.isfinite(found):
        return None
    return found
