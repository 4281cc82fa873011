"""Table 2 for people, of one world: on the terminal, as the blocks of a page and as figures."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from easq.experiment.false_positives import FalsePositives
from easq.experiment.ratio_metrics import RelativeDifference
from easq.experiment.sample_ratio import SampleRatio
from easq.experiment.several_worlds import Combined
from easq.experiment.table2 import METRICS, Comparison, Metric
from easq.study.measures import as_json
from easq.study.page import items, picture, table
from easq.study.report import Findings
from jobs.ab_figure import differences_figure
from jobs.ab_salts import false_positives_json, false_positives_table, verdict

HEAD = ["metric", "treatment", "control", "difference", "by CUPED", "found from"]
SAID_FIRST = ("Q-rate", "Q-Satisfied", "Q-Dissatisfied", "WatchTime", "LT7")
LIMITS = (
    "Intervals are 95 %, by the delta method, clustered by user: they cover which users were in "
    "which arm, not another draw of the world or of the training.",
    "By CUPED: adjusted by the same metric of the same users in the days before, when the logging "
    "policy ranked for everybody. What users do then has nothing to do with the arm.",
    "Found from: the rise that a test with such an interval (by CUPED) finds four times in five.",
)


def differences_table(found: Comparison, title: str) -> Table:
    """For the terminal, one row a metric."""
    shown = Table(*HEAD, title=title)
    for row in _rows(found):
        shown.add_row(*row)
    return shown


def ratio_sentences(found: Comparison) -> list[str]:
    """Whether both arms got, and kept, the users they were to get."""
    return [
        _ratio("Users that the salt gave to treatment and control", found.users),
        _ratio("Of them with at least one ranking", found.served),
    ]


def _ratio(who: str, users: SampleRatio) -> str:
    said = "a MISMATCH: trust no figure" if users.is_mismatch else "no mismatch"
    seen = " and ".join(f"{count:,}" for count in users.seen)
    return f"{who}: {seen}; {said} (chi-square, p = {users.p_value:.3f})."


def findings(
    found: Comparison,
    title: str,
    asked: str,
    by_scenario: Mapping[str, Comparison],
    salted: FalsePositives | None = None,
) -> Findings:
    """What a reader is shown. `salted`: of an A/A test."""
    blocks = [
        table(HEAD, _rows(found), "Table 2"),
        picture(
            differences_figure(found.differences, found.adjusted), "Differences with 95 % intervals"
        ),
        items(ratio_sentences(found)),
        *(table(HEAD, _rows(one), f"Scenario {name}") for name, one in by_scenario.items()),
    ]
    apart = {name: comparison_json(one) for name, one in by_scenario.items()}
    figures = comparison_json(found) | {"scenarios": apart}
    says = [headline(found.differences, "")]
    if found.adjusted:
        says.append(headline(found.adjusted, "By CUPED: "))
    if salted is not None:
        blocks.append(false_positives_table(salted))
        figures |= {"false_positives": false_positives_json(salted)}
        says.append(verdict(salted))
    return Findings(title, asked, blocks, LIMITS, figures, _metrics(found), says)


def comparison_json(found: Comparison) -> dict[str, Any]:
    """All of it, and from where on each metric's difference would be found."""
    best = found.adjusted or found.differences
    return as_json(found) | {"found_from": as_json({n: one.detectable for n, one in best.items()})}


def headline(found: Mapping[str, RelativeDifference | Combined], start: str) -> str:
    """What viewers say and what they do."""
    told = (f"{name} {relative(found[name])}" for name in SAID_FIRST)
    return f"{start}{'; '.join(told)}."


def _metrics(found: Comparison) -> dict[str, float]:
    """By MLflow's names, what is defined."""
    figures = {"sample_ratio_p": found.users.p_value, "served_ratio_p": found.served.p_value}
    for start, differences in {"": found.differences, "CUPED/": found.adjusted}.items():
        for name, one in differences.items():
            figures |= parts_of(f"{start}{name}", one)
    return figures


def parts_of(name: str, one: RelativeDifference | Combined) -> dict[str, float]:
    """A difference and its interval by MLflow's names, where defined."""
    parts = {"": one.difference, "/low": one.low, "/high": one.high}
    return {f"{name}{part}": value for part, value in parts.items() if not math.isnan(value)}


def _rows(found: Comparison) -> list[list[str]]:
    return [
        [
            called(metric),
            f"{one.treatment:.4g}",
            f"{one.control:.4g}",
            relative(one),
            relative(found.adjusted[metric.name]) if found.adjusted else "no days before",
            _found_from((found.adjusted or found.differences)[metric.name]),
        ]
        for metric in METRICS
        for one in [found.differences[metric.name]]
    ]


def called(metric: Metric) -> str:
    return f"{metric.name} ↓" if metric.lower_is_better else metric.name


def relative(one: RelativeDifference | Combined) -> str:
    """ "+1.00% [-2.00%, +4.00%]"."""
    if math.isnan(one.difference):
        return "undefined: too few events"
    return f"{one.difference:+.2%} [{one.low:+.2%}, {one.high:+.2%}]"


def _found_from(one: RelativeDifference) -> str:
    return "undefined" if math.isnan(one.detectable) else f"{one.detectable:.1%}"
