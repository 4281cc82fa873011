"""The page of methods at equal behaviour on a real log."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from easq.peers.equal_behaviour import SATISFACTION, Found
from easq.peers.judge import HIDDEN_HATE, HIDDEN_LIKE, LONG_VIEW
from easq.study.compare_page import gains_as_metrics
from easq.study.curve_tables import at_budgets, base, every_point
from easq.study.figures import trade_off
from easq.study.measures import as_json
from easq.study.methods import Method
from easq.study.page import picture, told
from easq.study.report import Findings
from easq.study.verdicts import standing, verdicts

TITLES = {
    HIDDEN_LIKE: "GAUC of hidden likes",
    HIDDEN_HATE: "GAUC of hidden hates, below the others",
}
QUESTION = (
    "Likes and hates stand in for answers: a few are revealed, the others are hidden and judged. "
    "Does a method that goes beyond the paper lift hidden likes at least as much as EASQ and the "
    "blend do, where all of them cost the same long-view GAUC inside user-days?"
)
LIMITS = (
    "A like is a proxy: nobody was asked, and a viewer who likes also watched.",
    "Rankings are judged on what another ranker showed.",
    "Intervals are 95 % of a bootstrap over training seeds and users, paired over methods; there "
    "is one log, and few seeds make intervals too narrow (easq/study/intervals.py).",
    "Where a curve does not reach a cost with the values tried, it has no number there.",
)


def drawn(found: Found, methods: Mapping[str, Method]) -> Figure:
    """Hidden likes gained over long views lost."""
    return trade_off(found.comparison.curves, methods, HIDDEN_LIKE, "long-view GAUC")


def findings(found: Found, methods: Mapping[str, Method]) -> Findings:
    """What a reader is shown."""
    comparison, title = found.comparison, TITLES[HIDDEN_LIKE]
    says = [line for q in SATISFACTION for line in verdicts(comparison, methods, q, TITLES[q])]
    return Findings(
        "Rankers on a real log at equal behaviour",
        QUESTION,
        [
            base(comparison, {LONG_VIEW: "GAUC of long views", **TITLES}),
            picture(drawn(found, methods), f"Curves of {title} over long-view GAUC lost"),
            *(at_budgets(comparison, methods, q, TITLES[q]) for q in SATISFACTION),
            every_point(comparison, methods, TITLES, "long-view GAUC lost, %"),
        ],
        LIMITS,
        as_json(found),
        gains_as_metrics(comparison),
        [*says, *_above(found, methods)],
    )


def _above(found: Found, methods: Mapping[str, Method]) -> list[str]:
    subject = methods[found.comparison.subject]
    return [
        f"With {subject.knob} = {value:g} {subject.title} {standing(lead)} the curve of "
        f"{methods[rival].title} at the same cost: {told(lead)}."
        for rival, leads in found.above.items()
        for value, lead in leads.items()
    ]
