"""The tables of a comparison's curves."""

from collections.abc import Mapping

from easq.study.compare import Comparison
from easq.study.curves import BUDGETS
from easq.study.methods import BASE, Method
from easq.study.page import table, told
from easq.study.verdicts import judged_by


def base(comparison: Comparison, titles: Mapping[str, str]) -> str:
    """What EMER reaches."""
    rows = [[titles[name], told(value, signed=False)] for name, value in comparison.base.items()]
    return table(["", "EMER"], rows, "Where EMER stands; everything below is against it")


def at_budgets(
    comparison: Comparison,
    methods: Mapping[str, Method],
    measure: str,
    title: str,
    cost: str = "behaviour",
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


def unseen(comparison: Comparison, methods: Mapping[str, Method]) -> str:
    """How much each point ranks where behaviour was never logged."""
    rows = [
        [methods[name].title, f"{value:g}" if methods[name].knob else "", told(share)]
        for name, shares in comparison.unseen.items()
        for value, share in zip(methods[name].values, shares, strict=True)
    ]
    caption = "Share of what would be shown that the log never showed, over EMER's"
    return table(["method", "knob", "share"], rows, caption)
