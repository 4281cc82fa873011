"""The page of `easq peers`: GAUC of every method by question, with intervals over users."""

from typing import NamedTuple

import numpy as np
from rich.table import Table

from easq.bootstrap import Difference
from easq.events import Answer
from easq.peers.judge import CHOSEN_ON, QUESTIONS, Truth, gain, gauc, lists_of
from easq.study.measures import as_json
from easq.study.page import items, table, text
from easq.study.report import Findings

Scores = dict[str, list[np.ndarray]]
"""Scores of all candidates, by method, one array a training seed."""
ByQuestion = dict[str, dict[str, Difference]]
"""By question and method."""
YARDSTICK = "EASQ, served score"
CEILING = "additive, every past like"
CAPTION = "GAUC inside user-days, 95 % over users"
LIMITS = (
    "A hidden like asks whether liked videos stand above the day's others, a hidden hate whether "
    "hated ones stand below. They are proxies: nobody was asked.",
    "Behaviour can be compared here; that one method pleases viewers more can be told only where "
    "an interval is clear of zero.",
    "Intervals cover which users were seen, not what other training seeds would give.",
)


class Results(NamedTuple):
    """What was found, and in how many lists."""

    gauc: ByQuestion
    over_easq: ByQuestion
    lists: dict[str, int]

    def metrics(self) -> dict[str, float]:
        return {
            f"{_slug(question)}/{_slug(method)}": value.mean
            for question, methods in self.gauc.items()
            for method, value in methods.items()
        }


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "_")


def results_of(truth: Truth, scores: Scores) -> Results:
    """Questions with no list at all are left out."""
    found = {name: [lists_of(truth, s) for s in seeds] for name, seeds in scores.items()}
    counts = {q: len(found[YARDSTICK][0][q].values) for q in QUESTIONS}
    asked = [question for question in QUESTIONS if counts[question]]
    by = {q: {name: [lists[q] for lists in seeds] for name, seeds in found.items()} for q in asked}
    return Results(
        {q: {name: gauc(x, truth.flat) for name, x in m.items()} for q, m in by.items()},
        {
            q: {
                name: gain(x, m[YARDSTICK], truth.flat)
                for name, x in m.items()
                if name != YARDSTICK
            }
            for q, m in by.items()
        },
        {q: counts[q] for q in asked},
    )


def gauc_table(results: Results) -> Table:
    """For the console."""
    shown = Table("ranking by", *results.gauc, title=CAPTION)
    for row in _rows(results.gauc):
        shown.add_row(*row)
    return shown


def findings(truth: Truth, results: Results, revealed: float, seeds: int) -> Findings:
    """What a reader is shown."""
    head = ["ranking by", *results.gauc]
    return Findings(
        "Rankers on a real log",
        "Each method scores a day having learnt from the days before it. Which one ranks what "
        "viewers watched long, and the likes and hates that it was not told of, inside user-days?",
        [
            text(_taught(truth, revealed, seeds)),
            table(head, _rows(results.gauc), CAPTION),
            table(head, _rows(results.over_easq, "+"), "Less EASQ's served score, same lists"),
            items(_decides(results)),
        ],
        LIMITS,
        as_json(results),
        results.metrics(),
    )


def _rows(by_question: ByQuestion, sign: str = "") -> list[list[str]]:
    number = f"{{:{sign}.4f}}"
    cell = f"{number} [{number}, {number}]".format
    methods = next(iter(by_question.values()))
    return [[method, *(cell(*m[method]) for m in by_question.values())] for method in methods]


def _taught(truth: Truth, revealed: float, seeds: int) -> str:
    kinds = Answer.SATISFIED, Answer.DISSATISFIED
    judged = truth.hidden[truth.flat.request >= truth.first]
    given, hidden = (
        [int((answers == kind).sum()) for kind in kinds] for answers in (truth.flat.answer, judged)
    )
    return (
        f"The first {CHOSEN_ON} days, on which settings were chosen, are not judged. "
        f"{revealed:.0%} of likes and hates were revealed as answers ({given[0]:,} satisfied, "
        f"{given[1]:,} dissatisfied); {hidden[0]:,} likes and {hidden[1]:,} hates of the judged "
        f"days stayed hidden and are the test. Random methods are means of {seeds} seeds. Peers "
        "were taught long views, or answers (satisfied against all else); all read the same "
        f'features. "{CEILING}" was taught the hidden likes of the days before too: what the log '
        "could show to a method with every answer."
    )


def _decides(results: Results) -> list[str]:
    """What this log can tell from chance."""
    width = {q: max((d.high - d.low) / 2 for d in m.values()) for q, m in results.over_easq.items()}
    return [
        f"{question}: {results.lists[question]:,} lists. A difference to EASQ of less than about "
        f"{half:.3f} cannot be told from chance."
        for question, half in width.items()
    ]
