"""What every page of a study says: what was asked, what was run, and what it cannot say."""

import json
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from easq.history import History
from easq.source_code import revision
from easq.study.code_version import code_version
from easq.study.page import code, items, page, text
from easq.study.plan import Plan


class Report(NamedTuple):
    """A study as a reader and as a machine gets it."""

    name: str  # compare
    html: str
    result: dict[str, Any]  # JSON, with command, commit and seeds
    metrics: dict[str, float]  # for MLflow


class Findings(NamedTuple):
    """What a study found, as blocks of a page, as JSON, and as a few numbers."""

    title: str
    asked: str
    blocks: Sequence[str]
    limits: Sequence[str]
    found: Any
    metrics: dict[str, float]
    says: Sequence[str] = ()
    """The findings in sentences: first on the page, and in the index."""


class Origin(NamedTuple):
    """What a study was made from."""

    facts: dict[str, str]  # for the page and MLflow
    details: dict[str, Any]  # JSON
    limits: list[str]


def report(name: str, origin: Origin, findings: Findings, command: Sequence[str]) -> Report:
    """Put the page together."""
    git = revision()
    commit = "installed, without git" if git is None else git.sha + (" and changes" * git.dirty)
    run = {"command": shlex.join(command), "commit": commit, "code": code_version()}
    facts = "\n".join(f"{key:15} {value}" for key, value in {**run, **origin.facts}.items())
    html = page(
        findings.title,
        [
            ("What was asked", [text(findings.asked)]),
            ("What was found", [items(findings.says), *findings.blocks]),
            ("What it cannot say", [items([*findings.limits, *origin.limits])]),
            ("What was run", [code(facts)]),
        ],
    )
    result = {**run, **origin.details, "says": [*findings.says], "found": findings.found}
    return Report(name, html, result, findings.metrics)


SIMULATED = (
    "The viewers are simulated and their world was made by hand: this shows how methods compare "
    "where the truth is known, not how much they gain with real viewers."
)


def of_plan(plan: Plan) -> Origin:
    """A study of simulated worlds."""
    traffic, split = plan.simulation.traffic, plan.split
    facts = {
        "worlds": ", ".join(map(str, plan.worlds)),
        "first weights": ", ".join(map(str, plan.seeds)),
        "history": f"{traffic.requests:,} requests of {plan.simulation.world.users:,} viewers over "
        f"{traffic.days} days, answers at the pace `{plan.simulation.questionnaire}`",
        "days": f"{split.warm_days} only learnt from, {split.validation_days} judged to choose the "
        "value of a knob, the others judged; each window scored before it is learnt from",
        "training": json.dumps(plan.settings),
    }
    limits = [
        SIMULATED,
        f"Intervals are 95 % of a bootstrap over {_many(len(plan.worlds), 'world')}, "
        f"{_many(len(plan.seeds), 'draw')} of first weights, and users, paired over methods.",
    ]
    if len(plan.worlds) == 1:
        limits.append(
            "There is one world: nothing here is known of another one, and with few draws of "
            "weights intervals are too narrow (easq/study/intervals.py)."
        )
    return Origin(facts, {"plan": plan.model_dump(mode="json")}, limits)


def of_histories(histories: Sequence[History]) -> Origin:
    """A study of samples as they are."""
    described = [history.description for history in histories]
    facts = {
        f"history {number}": f"{d.name}, digest {d.digest}, {d.requests:,} requests, answers "
        + ", ".join(f"{count:,} {answer}" for answer, count in d.answers.items())
        for number, d in enumerate(described)
    }
    simulated = any(source.name == "simulation" for d in described for source in d.sources)
    limits = [
        "Intervals are 95 % of a bootstrap over histories, where there are several, and users."
    ]
    digests = [d.digest for d in described]
    return Origin(facts, {"histories": digests}, limits + [SIMULATED] * simulated)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)
