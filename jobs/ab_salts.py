"""The A/A test for people: how often chance looked like a difference."""

from typing import Any

from easq.experiment.false_positives import FalsePositives
from easq.study.measures import as_json
from easq.study.page import picture, table
from jobs.ab_figure import false_positives_figure

HEAD = ["metric", "found", "found by CUPED", "chance explains"]


def false_positives_rows(found: FalsePositives) -> list[list[str]]:
    """A row a metric, and one of the sample ratios."""
    rows = [
        [name, str(count), str(found.adjusted.get(name, "-")), f"up to {found.bound}"]
        for name, count in found.by_metric.items()
    ]
    alarms = [str(found.mismatches), "-", f"up to {found.mismatches_bound}"]
    return [*rows, ["sample-ratio alarms", *alarms]]


def false_positives_title(found: FalsePositives) -> str:
    return f"A/A: intervals that leave out 0, of {found.salts} divisions"


def false_positives_table(found: FalsePositives) -> str:
    """For the page, with its picture."""
    title = false_positives_title(found)
    return table(HEAD, false_positives_rows(found), title) + picture(
        false_positives_figure(found), title
    )


def false_positives_json(found: FalsePositives) -> dict[str, Any]:
    bounds = {"bound": found.bound, "mismatches_bound": found.mismatches_bound}
    return as_json(found) | bounds | {"is_empty": found.is_empty}


def verdict(found: FalsePositives) -> str:
    """Whether the test finds what is not there."""
    return (
        f"Divided {found.salts} times, no metric's interval left out 0 more than {found.most} "
        f"times; chance explains up to {found.bound}. Sample-ratio alarms: {found.mismatches}; "
        f"chance explains up to {found.mismatches_bound}. "
        + ("Nothing is found that is not there." if found.is_empty else "The test finds too much.")
    )
