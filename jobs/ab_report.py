"""Table 2 for people: on the terminal, as a page and as figures."""

import json
import math
from pathlib import Path

from rich.table import Table

from easq.experiment.false_positives import FalsePositives
from easq.experiment.ratio_metrics import RelativeDifference
from easq.experiment.table2 import METRICS, Comparison

PAGE = """# {title}

{story}

{table}

Intervals are 95 %, by the delta method, clustered by user: they cover which users were in which
arm, not another draw of the world or of the training. {ratio}
"""


def differences_table(found: Comparison, title: str) -> Table:
    """One row a metric."""
    table = Table("metric", "treatment", "control", "difference", "95 % interval", title=title)
    for name, one in found.differences.items():
        table.add_row(name, f"{one.treatment:.4g}", f"{one.control:.4g}", *_relative(one))
    return table


def ratio_sentence(found: Comparison) -> str:
    users = found.users
    said = "a MISMATCH: trust no figure" if users.is_mismatch else "no mismatch"
    seen = " and ".join(f"{count:,}" for count in users.seen)
    test = f"chi-square, p = {users.p_value:.3f}"
    return f"Users that the salt gave to treatment and control: {seen}; {said} ({test})."


def false_positives_table(found: FalsePositives) -> Table:
    title = f"A/A: intervals that leave out 0, of {found.salts} salts"
    table = Table("metric", "found", "chance explains", title=title)
    for name, count in found.by_metric.items():
        table.add_row(name, str(count), f"up to {found.bound}")
    table.add_row("sample-ratio alarms", str(found.mismatches), "0")
    return table


def write_page(folder: Path, title: str, story: str, found: Comparison) -> Path:
    """`ab.md` and `ab.json`."""
    rows = [
        "| metric | treatment | control | difference | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    for metric in METRICS:
        one = found.differences[metric.name]
        name = f"{metric.name} ↓" if metric.lower_is_better else metric.name
        difference, interval = _relative(one)
        cells = (name, f"{one.treatment:.4g}", f"{one.control:.4g}", difference, interval)
        rows.append(f"| {' | '.join(cells)} |")
    page = PAGE.format(title=title, story=story, table="\n".join(rows), ratio=ratio_sentence(found))
    figures = {
        "users": found.users._asdict(),
        "differences": {name: one._asdict() for name, one in found.differences.items()},
    }
    (folder / "ab.json").write_text(json.dumps(figures, indent=2))
    (folder / "ab.md").write_text(page)
    return folder / "ab.md"


def figures_of(found: Comparison) -> dict[str, float]:
    """By MLflow's names, what is defined."""
    figures = {"sample_ratio_p": found.users.p_value}
    for name, one in found.differences.items():
        parts = {"": one.difference, "/low": one.low, "/high": one.high}
        figures |= {f"{name}{part}": v for part, v in parts.items() if not math.isnan(v)}
    return figures


def _relative(one: RelativeDifference) -> tuple[str, str]:
    if math.isnan(one.difference):
        return "undefined", "too few events"
    return f"{one.difference:+.2%}", f"[{one.low:+.2%}, {one.high:+.2%}]"
