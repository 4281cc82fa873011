"""The first page of a study: what there is to read."""

from collections.abc import Mapping, Sequence
from html import escape

from easq.study.page import code, items, page, text
from easq.study.report import Origin

PARTS = {
    "compare": "EASQ and its rivals at equal behaviour: Table 1, trade-off curves, ceilings",
    "beyond": "More satisfaction at equal behaviour than the paper's method gives",
    "ablate": "What each part of EASQ adds, and the readings of Eq. 16: Fig. 5",
    "sweep": "How sensitive EASQ is to its settings: Fig. 6",
    "convergent": "Do answers agree with behaviour: Fig. 3",
    "calibrate": "The simulated world beside real logs",
    "ab": "The online test, with simulated users in process: Table 2",
}


def index(parts: Mapping[str, Sequence[str]], origin: Origin) -> str:
    """HTML with a link to each part's page and numbers, and what the part says."""
    links = [
        f'<li><a href="{name}/index.html">{escape(PARTS[name])}</a> '
        f'(<a href="{name}/result.json">numbers</a>)</li>'
        for name in parts
    ]
    said = [block for name, says in parts.items() for block in _said(name, says)]
    facts = "\n".join(f"{key:15} {value}" for key, value in origin.facts.items())
    return page(
        "The evidence for EASQ",
        [
            ("Pages", [f"<ul>{''.join(links)}</ul>"]),
            ("What was found", said),
            ("What was run", [code(facts)]),
            ("What it cannot say", [items(origin.limits)]),
        ],
    )


def _said(name: str, says: Sequence[str]) -> list[str]:
    return [text(f"{PARTS[name]}."), items(says)] if says else []
