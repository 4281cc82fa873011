"""The page of a comparison."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from easq.study.compare import AFFORDED, SAME_DEPTH, Comparison, Curve, Table
from easq.study.curves import BUDGETS
from easq.study.figures import trade_off
from easq.study.intervals import Interval
from easq.study.measures import as_json
from easq.study.methods import BASE, Method
from easq.study.page import items, picture, table, told
from easq.study.report import Findings
from easq.study.user_sums import (
    ALL,
    ANSWERS,
    BEHAVIOUR,
    FURTHER_ANSWERS,
    GAUC,
    TOP_BEHAVIOUR,
    TOP_Z,
    TRUE_BEHAVIOUR,
    TRUTH,
)

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
COLUMNS = ("NDCG@5", "NDCG@10", "HR@1", "HR@5", "HR@10", "MRR", "NDCG@20")
LISTED = (*ANSWERS, *FURTHER_ANSWERS)
SATURATED = 0.99
"""Where every method reaches it, a column of Table 1 tells none apart."""
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
    blocks = [_base(comparison)]
    for cost, seen, measure in views(comparison):
        figure = trade_off(judged_by(seen, measure), methods, measure, COSTS[cost])
        blocks.append(picture(figure, f"Curves of {TITLES[measure]} over {COSTS[cost]} lost"))
        blocks.append(at_budgets(seen, methods, measure, TITLES[measure], COSTS[cost]))
    own = methods[comparison.subject].title
    for where, found in comparison.tables.items():
        blocks += [_table_1(found, methods, own, where), items(_saturation(found))]
    blocks.append(every_point(comparison, methods, TITLES, "behaviour NDCG@5 lost, %"))
    blocks.append(_unseen(comparison, methods))
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


def verdicts(
    comparison: Comparison,
    methods: Mapping[str, Method],
    measure: str,
    title: str,
    cost: str = COSTS[BEHAVIOUR],
) -> list[str]:
    """The numbers that matter: what is gained within each budget, and who gains more or less."""
    own, said = comparison.curves[comparison.subject].gain_at[measure], []
    for budget in BUDGETS:
        others = _others(comparison, methods, measure, budget)
        stands = [f"it {verdict} {', '.join(who)}" for verdict, who in others.items() if who]
        said.append(
            f"At {budget:g} % of {cost} lost, by {title}: {methods[comparison.subject].title} "
            f"gains {told(own[budget])} over EMER; {'; '.join(stands)}."
        )
    return said


def _others(
    comparison: Comparison, methods: Mapping[str, Method], measure: str, budget: float
) -> dict[str, list[str]]:
    """Who is behind the subject, alike, ahead, or without a number there."""
    others: dict[str, list[str]] = {verdict: [] for verdict in STANDINGS}
    for name, curve in judged_by(comparison, measure).items():
        if name not in (comparison.subject, BASE):
            lead, method = curve.ahead[measure][budget], methods[name]
            figure = "" if lead.value != lead.value else f" ({told(lead)})"
            who = f"the ceiling {method.title}" if method.is_ceiling else method.title
            others[standing(lead)].append(f"{who}{figure}")
    return others


def judged_by(comparison: Comparison, measure: str) -> dict[str, Curve]:
    """The curves that have this measure."""
    return {name: curve for name, curve in comparison.curves.items() if measure in curve.gain_at}


STANDINGS = ("is ahead of", "cannot be told from", "is behind", "cannot be set against")


def standing(lead: Interval) -> str:
    """What an interval of a difference says."""
    ahead, alike, behind, apart = STANDINGS
    if lead.value != lead.value:
        return apart
    if lead.low > 0:
        return ahead
    return behind if lead.high < 0 else alike


def _base(comparison: Comparison) -> str:
    titles = {**COSTS, BEHAVIOUR: "behaviour, NDCG@5", GAUC: "long-view GAUC", **TITLES}
    rows = [[titles[name], told(value, signed=False)] for name, value in comparison.base.items()]
    return table(["", "EMER"], rows, "Where EMER stands; everything below is against it")


def at_budgets(
    comparison: Comparison,
    methods: Mapping[str, Method],
    measure: str,
    title: str,
    cost: str = COSTS[BEHAVIOUR],
) -> str:
    """Each method's gain within a budget, and the subject's lead."""
    subject, rows = comparison.subject, []
    for name, curve in judged_by(comparison, measure).items():
        if name == BASE:
            continue
        dearest = max(place.cost.value for place in curve.places)
        cells = [told(curve.gain_at[measure][budget]) for budget in BUDGETS]
        ahead = ["" if name == subject else told(curve.ahead[measure][b]) for b in BUDGETS]
        rows.append([methods[name].title, *cells, *ahead, f"{dearest:.2f} %"])
    head = [f"gain at {b:g} % cost" for b in BUDGETS]
    head += [f"{methods[subject].title} ahead at {b:g} %" for b in BUDGETS]
    caption = f"Gain over EMER: {title}, where a method costs so much of {cost}"
    return table(["method", *head, "dearest value tried"], rows, caption)


def _table_1(found: Table, methods: Mapping[str, Method], own: str, scenario: str) -> str:
    lines = [
        [
            methods[name].title,
            f"{row.value:g}" if methods[name].knob else "",
            *(told(interval, signed=False) for interval in row.columns.values()),
            "" if row.improvement is None else told(row.improvement, 2),
        ]
        for name, row in found.rows.items()
    ]
    lists = " + ".join(f"{count:,}" for count in found.lists)
    where = "all scenarios" if scenario == ALL else f"scenario {scenario}"
    return table(
        ["method", "knob", *COLUMNS, f"{own} better by, %"],
        lines,
        f"Held-out answers, {where} (as the paper's Table 1, and NDCG@20): one list a viewer, "
        f"{lists} lists. Knobs as chosen on validation days: most answer NDCG@5 at a cost of at "
        f"most {AFFORDED:g} %. The last column is the mean of the relative gains in the paper's "
        "six columns.",
    )


def _saturation(found: Table) -> list[str]:
    """Which columns tell no method apart."""
    least = [min(row.columns[name].value for row in found.rows.values()) for name in LISTED]
    full = {t: low for t, low in zip(COLUMNS, least, strict=True) if low >= SATURATED}
    if not full:
        return []
    return [
        f"Saturated: every method has at least {min(full.values()):.3f} of 1 in "
        f"{' and '.join(full)}, as a viewer's list is short; there the methods cannot be told "
        "apart, and these columns only water down the mean of relative gains."
    ]


def every_point(
    comparison: Comparison, methods: Mapping[str, Method], titles: Mapping[str, str], cost: str
) -> str:
    """What each value of each knob costs and gains."""
    rows = [
        [
            methods[name].title,
            f"{methods[name].knob} = {place.value:g}" if methods[name].knob else "",
            told(place.cost, 2),
            told(place.gauc),
            *(told(place.gain[m]) if m in place.gain else "" for m in titles),
        ]
        for name, curve in comparison.curves.items()
        for place in curve.places
    ]
    measures = [cost, "long-view GAUC", *titles.values()]
    return table(["method", "knob", *measures], rows, "Every point, against EMER")


def _unseen(comparison: Comparison, methods: Mapping[str, Method]) -> str:
    """How much each point ranks where behaviour was never logged."""
    rows = [
        [methods[name].title, f"{value:g}" if methods[name].knob else "", told(share)]
        for name, shares in comparison.unseen.items()
        for value, share in zip(methods[name].values, shares, strict=True)
    ]
    caption = "Share of what would be shown that the log never showed, over EMER's"
    return table(["method", "knob", "share"], rows, caption)


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
