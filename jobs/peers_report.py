"""The page of `easq peers`: GAUC of every method by question, with intervals over users."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from easq.bootstrap import Difference
from easq.events import Answer
from easq.peers.judge import CHOSEN_ON, QUESTIONS, Truth, gain, gauc, lists_of
from easq.study.report import made_by

Scores = dict[str, list[np.ndarray]]
"""Scores of all candidates, by method, one array a training seed."""
YARDSTICK = "EASQ, served score"
CEILING = "additive, every past like"


class Results(NamedTuple):
    """By question and method."""

    gauc: dict[str, dict[str, Difference]]
    over_easq: dict[str, dict[str, Difference]]
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


def write_report(
    folder: Path, truth: Truth, results: Results, revealed: float, seeds: int
) -> Table:
    """page.md for readers, results.json for programs; returns the table for the console."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page.md").write_text(_page(truth, results, revealed, seeds))
    plain = {
        **made_by(["easq", *sys.argv[1:]]),
        "revealed": revealed,
        "seeds": list(range(seeds)),
        "lists": results.lists,
        "gauc": {q: {n: d._asdict() for n, d in m.items()} for q, m in results.gauc.items()},
        "over_easq": {
            q: {n: d._asdict() for n, d in m.items()} for q, m in results.over_easq.items()
        },
    }
    (folder / "results.json").write_text(json.dumps(plain, indent=2))
    table = Table("ranking by", *results.gauc, title="GAUC inside user-days, 95 % over users")
    for row in _rows(results):
        table.add_row(*row)
    return table


def _rows(results: Results) -> list[list[str]]:
    methods = next(iter(results.gauc.values()))
    return [
        [method, *("{:.4f} [{:.4f}, {:.4f}]".format(*m[method]) for m in results.gauc.values())]
        for method in methods
    ]


def _page(truth: Truth, results: Results, revealed: float, seeds: int) -> str:
    shown, hidden = truth.flat.answer, truth.hidden[truth.flat.request >= truth.first]
    likes, hates = ((hidden == kind).sum() for kind in (Answer.SATISFIED, Answer.DISSATISFIED))
    given = [(shown == kind).sum() for kind in (Answer.SATISFIED, Answer.DISSATISFIED)]
    questions = list(results.gauc)
    differences = [
        [m, *("{:+.4f} [{:+.4f}, {:+.4f}]".format(*results.over_easq[q][m]) for q in questions)]
        for m in results.over_easq[questions[0]]
    ]
    width = {q: max((d.high - d.low) / 2 for d in results.over_easq[q].values()) for q in questions}
    decides = "\n".join(
        f"- **{q}**: {results.lists[q]:,} lists. A difference to EASQ of less than about "
        f"{width[q]:.3f} cannot be told from chance."
        for q in questions
    )
    return f"""# Rankers on a real log

Each method scores a day having learnt from the days before it; every number is of candidates it
had not seen. The first {CHOSEN_ON} days, on which settings were chosen, are not judged.
{revealed:.0%} of likes and hates were revealed as answers ({given[0]:,} satisfied,
{given[1]:,} dissatisfied); {likes:,} likes and {hates:,} hates of the judged days stayed hidden
and are the test. Random methods are means of {seeds} seeds. Peers were taught long views, or
answers (satisfied against all else); all read the same features. "{CEILING}" was taught the
hidden likes of the days before too: what the log could show to a method with every answer.

## GAUC inside user-days

{_markdown(["ranking by", *questions], _rows(results))}

"Hidden like" asks whether liked videos stand above the day's others, "hidden hate" whether hated
ones stand below. Brackets: 95 % interval over users.

## Less EASQ's served score, on the same lists

{_markdown(["ranking by", *questions], differences)}

## What this log can decide

{decides}

The intervals cover which users were seen, not what other training seeds would give. Likes are a
proxy: nobody was asked. Behaviour can be compared here; that one method pleases viewers more
can be told only where the interval above is clear of zero.
"""


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
