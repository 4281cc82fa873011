"""What every page of a study says: what was asked, what was run, and what it cannot say."""

import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

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


def report(name: str, plan: Plan, findings: Findings, command: Sequence[str]) -> Report:
    """Put the page together."""
    git = revision()
    commit = "installed, without git" if git is None else git.sha + (" and changes" * git.dirty)
    run = {
        "command": shlex.join(command),
        "commit": commit,
        "code": code_version(),
        "worlds": list(plan.worlds),
        "seeds": list(plan.seeds),
        "plan": plan.model_dump(mode="json"),
    }
    html = page(
        findings.title,
        [
            ("What was asked", [text(findings.asked)]),
            ("What was found", findings.blocks),
            ("What it cannot say", [items([*findings.limits, *_limits(plan)])]),
            ("What was run", [code(_origin(run, plan))]),
        ],
    )
    return Report(name, html, run | {"found": findings.found}, findings.metrics)


def _limits(plan: Plan) -> list[str]:
    worlds, seeds = len(plan.worlds), len(plan.seeds)
    said = [
        "The viewers are simulated and their world was made by hand: this shows how methods "
        "compare where the truth is known, not how much they gain with real viewers.",
        f"Intervals are 95 % of a bootstrap over {worlds} worlds, {seeds} draws of first weights "
        "and users, paired over methods. With few worlds or draws they are too narrow.",
    ]
    if worlds == 1:
        said.append("There is one world: nothing here is known of another one.")
    return said


def _origin(run: dict[str, Any], plan: Plan) -> str:
    traffic = plan.simulation.traffic
    return "\n".join(
        [
            f"command   {run['command']}",
            f"commit    {run['commit']}",
            f"method    {run['code']} (digest of the code that decides a result)",
            f"worlds    {', '.join(map(str, plan.worlds))}   "
            f"first weights {', '.join(map(str, plan.seeds))}",
            f"history   {traffic.requests:,} requests of {plan.simulation.world.users:,} viewers "
            f"over {traffic.days} days, answers at the pace `{plan.simulation.questionnaire}`",
            f"days      {plan.split.warm_days} only learnt, {plan.split.validation_days} judged "
            "to choose a knob's value, the rest judged",
            f"training  {plan.settings}",
        ]
    )
