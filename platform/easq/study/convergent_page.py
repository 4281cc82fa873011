"""The page of Fig. 3."""

from collections.abc import Mapping

from easq.study.convergent import Shift
from easq.study.figures import shifts
from easq.study.measures import as_json
from easq.study.page import picture, table, text, told
from easq.study.report import Findings

PAPER = {
    "satisfied": {"like": 46, "comment": 54, "forward": 69, "follow": 80},
    "dissatisfied": {"like": -83, "follow": -85},
}
"""Changes in %, as read off the paper's Fig. 3."""
LIMITS = (
    "Who answers watched long enough to be asked and chose to answer, so behaviour on answered "
    "views is above a viewer's average to begin with.",
    "A behaviour that a viewer never shows adds nothing on either side.",
)


def findings(found: Mapping[str, Shift], data: str) -> Findings:
    """What a reader is shown. `data` names the histories."""
    names = list(next(iter(found.values())).change)
    rows = [
        [
            name,
            *(told(shift.change[name], 0) for shift in found.values()),
            *(f"{PAPER[a][name]:+d}" if name in PAPER.get(a, {}) else "" for a in found),
        ]
        for name in names
    ]
    head = [f"{answer} ({shift.answers:,} answers), %" for answer, shift in found.items()]
    printed = [f"the paper's, {answer}" for answer in found]
    caption = "Behaviour on answered views against the same viewers' average over all their views"
    metrics = {
        f"{answer}/{name}_percent": interval.value
        for answer, shift in found.items()
        for name, interval in shift.change.items()
        if interval.value == interval.value
    }
    return Findings(
        "Answers and behaviour agree",
        "When viewers say that they are satisfied with a video, do they also like, follow, comment "
        "and forward more than they usually do, and less when they are dissatisfied?",
        [
            text(f"Data: {data}."),
            picture(shifts(found), "Change of each behaviour by answer"),
            table(["behaviour", *head, *printed], rows, caption),
        ],
        [*LIMITS, *_by_construction(found)],
        as_json(dict(found)),
        metrics,
    )


def _by_construction(found: Mapping[str, Shift]) -> list[str]:
    return [
        f"Every view with the answer {answer} has {' and '.join(shift.always)}: where a log's "
        "answers are made of behaviour, that row says nothing."
        for answer, shift in found.items()
        if shift.always
    ]
