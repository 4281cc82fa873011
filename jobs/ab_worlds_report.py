"""Table 2 of several worlds for people: each world's differences, and what they say together."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from easq.experiment.false_positives import FalsePositives
from easq.experiment.several_worlds import Combined, combine
from easq.experiment.table2 import METRICS, Comparison
from easq.study.measures import as_json
from easq.study.page import items, picture, table
from easq.study.report import Findings
from jobs.ab_figure import differences_figure
from jobs.ab_report import (
    LIMITS,
    called,
    comparison_json,
    headline,
    parts_of,
    ratio_sentences,
    relative,
)
from jobs.ab_salts import false_positives_json, false_positives_table, verdict

Worlds = Mapping[int, Comparison]
"""By seed."""
TOGETHER = (
    "All worlds together: random effects over worlds, with the t interval of Hartung and Knapp; "
    "another world's difference is taken to lie about the mean with the spread that is shown.",
)


def together(found: Worlds) -> tuple[dict[str, Combined], dict[str, Combined]]:
    """By metric: of the differences, and of those by CUPED."""
    names = [metric.name for metric in METRICS]
    plain = {name: combine([one.differences[name] for one in found.values()]) for name in names}
    adjusted = {name: combine([one.adjusted[name] for one in found.values()]) for name in names}
    return plain, adjusted


def _together_json(found: Worlds) -> dict[str, Any]:
    plain, adjusted = together(found)
    return as_json({"differences": plain, "adjusted": adjusted})


def worlds_table(found: Worlds, title: str) -> Table:
    """For the terminal, one row a metric."""
    shown = Table(*_head(found), title=title)
    for row in _rows(found):
        shown.add_row(*row)
    return shown


def findings_of_worlds(
    found: Worlds,
    title: str,
    asked: str,
    by_scenario: Mapping[str, Worlds],
    salted: FalsePositives | None = None,
) -> Findings:
    """What a reader is shown. `salted`: of an A/A test, all worlds' together."""
    plain, adjusted = together(found)
    worlds = [one.differences for one in found.values()]
    figure = differences_figure(plain, adjusted, worlds)
    blocks = [
        table(_head(found), _rows(found), "Table 2"),
        picture(figure, "Differences of all worlds together with 95 % intervals; dots: each world"),
        *(
            items([f"World {seed}. {told}" for told in ratio_sentences(one)])
            for seed, one in found.items()
        ),
        *(table(_head(of), _rows(of), f"Scenario {name}") for name, of in by_scenario.items()),
    ]
    figures = {
        "together": _together_json(found),
        "scenarios": {name: _together_json(of) for name, of in by_scenario.items()},
        "worlds": {str(seed): comparison_json(one) for seed, one in found.items()},
    }
    says = [headline(plain, ""), headline(adjusted, "By CUPED: ")]
    if salted is not None:
        blocks.append(false_positives_table(salted))
        figures |= {"false_positives": false_positives_json(salted)}
        says.append(verdict(salted))
    metrics = [*plain.items(), *((f"CUPED/{name}", one) for name, one in adjusted.items())]
    told = {key: value for name, one in metrics for key, value in parts_of(name, one).items()}
    return Findings(title, asked, blocks, [*TOGETHER, *LIMITS[:2]], figures, told, says)


def _head(found: Worlds) -> list[str]:
    return ["metric", *(f"world {seed}" for seed in found), "together", "by CUPED", "spread"]


def _rows(found: Worlds) -> list[list[str]]:
    plain, adjusted = together(found)
    return [
        [
            called(metric),
            *(relative(one.differences[metric.name]) for one in found.values()),
            relative(plain[metric.name]),
            relative(adjusted[metric.name]),
            f"{adjusted[metric.name].spread:.1%}",
        ]
        for metric in METRICS
    ]
