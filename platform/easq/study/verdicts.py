"""What a comparison says in sentences: who is ahead where both cost the same."""

from collections.abc import Mapping

from easq.study.compare import Comparison, Curve
from easq.study.curves import BUDGETS
from easq.study.intervals import Interval
from easq.study.methods import BASE, Method
from easq.study.page import told

STANDINGS = ("is ahead of", "cannot be told from", "is behind", "cannot be set against")


def verdicts(
    comparison: Comparison,
    methods: Mapping[str, Method],
    measure: str,
    title: str,
    cost: str = "behaviour",
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


def standing(lead: Interval) -> str:
    """What an interval of a difference says."""
    ahead, alike, behind, apart = STANDINGS
    if lead.value != lead.value:
        return apart
    if lead.low > 0:
        return ahead
    return behind if lead.high < 0 else alike
