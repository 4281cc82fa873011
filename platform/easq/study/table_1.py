"""Table 1 of the paper: held-out answers, one list a viewer."""

from collections.abc import Mapping

from easq.study.compare import AFFORDED, Table
from easq.study.methods import Method
from easq.study.page import items, table, told
from easq.study.user_sums import ALL, ANSWERS, FURTHER_ANSWERS

COLUMNS = ("NDCG@5", "NDCG@10", "HR@1", "HR@5", "HR@10", "MRR", "NDCG@20")
LISTED = (*ANSWERS, *FURTHER_ANSWERS)
SATURATED = 0.99
"""Where every method reaches it, a column tells none apart."""


def table_1(found: Table, methods: Mapping[str, Method], own: str, scenario: str) -> list[str]:
    """The blocks of a scenario; `own`: the title of the method that the others are set against."""
    return [_rows(found, methods, own, scenario), items(_saturation(found))]


def _rows(found: Table, methods: Mapping[str, Method], own: str, scenario: str) -> str:
    lines = [
        [
            methods[name].title,
            f"{row.value:g}" if methods[name].knob else "",
            *(told(interval, signed=False) for interval in row.columns.values()),
            "" if row.improvement is None else told(row.improvement, 2),
        ]
        for name, row in found.rows.items()
    ]
    lists = " + ".join(f"{count:,}" for count in found.lists)
    where = "all scenarios" if scenario == ALL else f"scenario {scenario}"
    return table(
        ["method", "knob", *COLUMNS, f"{own} better by, %"],
        lines,
        f"Held-out answers, {where} (as the paper's Table 1, and NDCG@20): one list a viewer, "
        f"{lists} lists. Knobs as chosen on validation days: most answer NDCG@5 at a cost of at "
        f"most {AFFORDED:g} %. The last column is the mean of the relative gains in the paper's "
        "six columns.",
    )


def _saturation(found: Table) -> list[str]:
    """Which columns tell no method apart."""
    least = [min(row.columns[name].value for row in found.rows.values()) for name in LISTED]
    full = {t: low for t, low in zip(COLUMNS, least, strict=True) if low >= SATURATED}
    if not full:
        return []
    return [
        f"Saturated: every method has at least {min(full.values()):.3f} of 1 in "
        f"{' and '.join(full)}, as a viewer's list is short; there the methods cannot be told "
        "apart, and these columns only water down the mean of relative gains."
    ]
