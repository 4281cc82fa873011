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
    title = f"A/A: intervals that leave out 0, of {found.salts} salts"
    shown = Table("metric", "found", "chance explains", title=title)
    for name, count in found.by_metric.items():
        shown.add_row(name, str(count), f"up to {found.bound}")
    shown.add_row("sample-ratio alarms", str(found.mismatches), "0")
    return shown


def findings(found: Comparison, title: str, asked: str) -> Findings:
    """What a reader is shown."""
    blocks = [table(HEAD, _rows(found), "Table 2"), items(ratio_sentences(found))]
    return Findings(title, asked, blocks, LIMITS, as_json(found), _metrics(found))


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
