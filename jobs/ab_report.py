"""Table 2 for people: on the terminal, as the blocks of a page and as figures."""

import math

from rich.table import Table

from easq.experiment.false_positives import FalsePositives
from easq.experiment.ratio_metrics import RelativeDifference
from easq.experiment.sample_ratio import SampleRatio
from easq.experiment.table2 import METRICS, Comparison
from easq.study.measures import as_json
from easq.study.page import items, table
from easq.study.report import Findings

HEAD = ["metric", "treatment", "control", "difference", "95 % interval"]
SAID_FIRST = ("Q-rate", "Q-Satisfied", "Q-Dissatisfied", "WatchTime", "LT7")
SALTED = ["metric", "found", "chance explains"]
LIMITS = (
    "Intervals are 95 %, by the delta method, clustered by user: they cover which users were in "
    "which arm, not another draw of the world or of the training.",
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


def false_positives_table(found: FalsePositives) -> Table:
    """For the terminal, one row a metric."""
    shown = Table(*SALTED, title=_salts(found))
    for row in _false_positives(found):
        shown.add_row(*row)
    return shown


def _salts(found: FalsePositives) -> str:
    return f"A/A: intervals that leave out 0, of {found.salts} salts"


def _false_positives(found: FalsePositives) -> list[list[str]]:
    rows = [[name, str(count), f"up to {found.bound}"] for name, count in found.by_metric.items()]
    return [*rows, ["sample-ratio alarms", str(found.mismatches), "0"]]


def findings(
    found: Comparison, title: str, asked: str, salted: FalsePositives | None = None
) -> Findings:
    """What a reader is shown. `salted`: of an A/A test."""
    blocks = [table(HEAD, _rows(found), "Table 2"), items(ratio_sentences(found))]
    figures, says = as_json(found), [_headline(found)]
    if salted is not None:
        blocks.append(table(SALTED, _false_positives(salted), _salts(salted)))
        figures |= {"false_positives": as_json(salted) | {"is_empty": salted.is_empty}}
        says.append(_verdict(salted))
    return Findings(title, asked, blocks, LIMITS, figures, _metrics(found), says)


def _headline(found: Comparison) -> str:
    """What viewers say and what they do."""
    told = {name: " ".join(_relative(found.differences[name])) for name in SAID_FIRST}
    return "; ".join(f"{name} {difference}" for name, difference in told.items()) + "."


def _verdict(salted: FalsePositives) -> str:
    most = max(salted.by_metric.values())
    return (
        f"Divided by {salted.salts} salts, no metric's interval left out 0 more than {most} times; "
        f"chance explains up to {salted.bound}. Sample-ratio alarms: {salted.mismatches}. "
        + ("Nothing is found that is not there." if salted.is_empty else "The test finds too much.")
    )


def _metrics(found: Comparison) -> dict[str, float]:
    """By MLflow's names, what is defined."""
    figures = {"sample_ratio_p": found.users.p_value, "served_ratio_p": found.served.p_value}
    for name, one in found.differences.items():
        parts = {"": one.difference, "/low": one.low, "/high": one.high}
        figures |= {f"{name}{part}": v for part, v in parts.items() if not math.isnan(v)}
    return figures


def _rows(found: Comparison) -> list[list[str]]:
    return [
        [
            f"{metric.name} ↓" if metric.lower_is_better else metric.name,
            f"{one.treatment:.4g}",
            f"{one.control:.4g}",
            *_relative(one),
        ]
        for metric in METRICS
        for one in [found.differences[metric.name]]
    ]


def _relative(one: RelativeDifference) -> tuple[str, str]:
    if math.isnan(one.difference):
        return "undefined", "too few events"
    return f"{one.difference:+.2%}", f"[{one.low:+.2%}, {one.high:+.2%}]"
