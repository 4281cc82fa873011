"""The page of a comparison."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from easq.study.compare import SAME_DEPTH, Comparison
from easq.study.curve_tables import at_budgets, base, every_point, unseen
from easq.study.figures import trade_off
from easq.study.measures import as_json
from easq.study.methods import Method
from easq.study.page import picture
from easq.study.report import Findings
from easq.study.table_1 import table_1
from easq.study.user_sums import (
    ANSWERS,
    BEHAVIOUR,
    GAUC,
    TOP_BEHAVIOUR,
    TOP_Z,
    TRUE_BEHAVIOUR,
    TRUTH,
)
from easq.study.verdicts import judged_by, verdicts

TITLES = {
    TRUTH: "true satisfaction, NDCG@5",
    TOP_Z: "mean true satisfaction z of the videos that would be shown",
    ANSWERS[0]: "held-out answers, NDCG@5",
}
COSTS = {
    BEHAVIOUR: "behaviour",
    TRUE_BEHAVIOUR: "what viewers would do with all candidates, NDCG@5",
    TOP_BEHAVIOUR: "what viewers would do with the videos that would be shown",
}
ASKED = (
    "Do questionnaires make a ranking more satisfying than one that learns from behaviour alone "
    "(EMER), and what does that cost in behaviour? Methods differ in how much they trade, so they "
    "are compared where they cost the same: each method's knob makes a curve of satisfaction "
    "gained over behaviour lost, and is read at 1 % and at 3 % of behaviour NDCG@5."
)
LIMITS = (
    "Behaviour is judged on what another ranker showed, so to rank what it never showed costs "
    "nothing. What viewers would have done with all candidates only a simulation knows: the "
    "curves over that are the ones to go by where the two disagree.",
    "Where a curve does not reach a cost with the values tried, it has no number there. "
    "Between the values a curve is taken as straight.",
    "EMER, and so all methods built on it, learns from what viewers did (its posterior loss). Its "
    "prior loss, which distils the upstream scores, and that loss's weights are not part of it.",
    "Where every view is answered, other viewers answer about other videos: that ceiling has no "
    "number among held-out answers.",
    "Table 1 uses answers of viewers who chose to answer; no correction is made for who they are.",
)


class Question(NamedTuple):
    """What a comparison is made for."""

    title: str
    asked: str


RIVALS = Question("EASQ and its rivals at equal behaviour", ASKED)


def findings(
    comparison: Comparison, methods: Mapping[str, Method], question: Question = RIVALS
) -> Findings:
    """What a reader is shown."""
    levels = {**COSTS, BEHAVIOUR: "behaviour, NDCG@5", GAUC: "long-view GAUC", **TITLES}
    blocks = [base(comparison, levels)]
    for cost, seen, measure in views(comparison):
        figure = trade_off(judged_by(seen, measure), methods, measure, COSTS[cost])
        blocks.append(picture(figure, f"Curves of {TITLES[measure]} over {COSTS[cost]} lost"))
        blocks.append(at_budgets(seen, methods, measure, TITLES[measure], COSTS[cost]))
    own = methods[comparison.subject].title
    for where, found in comparison.tables.items():
        blocks += table_1(found, methods, own, where)
    blocks.append(every_point(comparison, methods, TITLES, "behaviour NDCG@5 lost, %"))
    blocks.append(unseen(comparison, methods))
    return Findings(
        *question,
        blocks,
        LIMITS,
        as_json(comparison),
        gains_as_metrics(comparison),
        [
            line
            for cost, seen, measure in views(comparison)
            for line in verdicts(seen, methods, measure, TITLES[measure], COSTS[cost])
        ],
    )


def views(comparison: Comparison) -> Iterator[tuple[str, Comparison, str]]:
    """Each cost, the comparison with the curves over it, and a measure of satisfaction."""
    for measure in TITLES:
        yield BEHAVIOUR, comparison, measure
    for cost, curves in comparison.true.items():
        yield cost, comparison._replace(curves=curves), SAME_DEPTH[cost]


def gains_as_metrics(comparison: Comparison) -> dict[str, float]:
    """What is a number, by names that MLflow takes."""
    over = {"": comparison.curves, **{f"over_{c}/": at for c, at in comparison.true.items()}}
    return {
        f"{name}/{cost}{measure}/gain_at_{budget:g}": interval.value
        for cost, curves in over.items()
        for name, curve in curves.items()
        for measure, of_budget in curve.gain_at.items()
        for budget, interval in of_budget.items()
        if interval.value == interval.value
    }
