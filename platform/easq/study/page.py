"""A self-contained page: text, tables and pictures in one HTML file, readable without the code."""

import io
from collections.abc import Sequence
from html import escape

from matplotlib import rc_context
from matplotlib.figure import Figure

from easq.study.intervals import Interval

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
caption { text-align: left; color: #555 }
svg { max-width: 100%; height: auto }
code, pre { background: #f4f4f4; padding: .1rem .3rem; white-space: pre-wrap }
small { color: #555 }
"""


def page(title: str, sections: Sequence[tuple[str, Sequence[str]]]) -> str:
    """HTML of sections, each a heading and blocks that the functions below make."""
    body = "\n".join(
        "\n".join([f"<h2>{escape(heading)}</h2>", *blocks]) for heading, blocks in sections
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def text(paragraph: str) -> str:
    return f"<p>{escape(paragraph)}</p>"


def code(lines: str) -> str:
    return f"<pre>{escape(lines)}</pre>"


def items(lines: Sequence[str]) -> str:
    """A list; nothing where there is nothing to say."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    headings = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><caption>{escape(caption)}</caption><tr>{headings}</tr>\n{body}</table>"


def _cell(cell: str) -> str:
    """The interval behind a value is set smaller."""
    value, bracket, rest = escape(cell).partition(" [")
    return f"{value}<br><small>{bracket.strip()}{rest}</small>" if bracket else value


def picture(figure: Figure, says: str) -> str:
    """The figure as inline SVG; `says` is for those who do not see it."""
    file = io.StringIO()
    with rc_context({"svg.hashsalt": says, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    return f'<figure role="img" aria-label="{escape(says)}">{svg[svg.index("<svg") :]}</figure>'


def told(interval: Interval, digits: int = 4, signed: bool = True) -> str:
    """ "+0.0123 [+0.0100, +0.0150]"; where draws left it undefined, in how many it was defined."""
    if interval.value != interval.value:
        return "not reached"
    number = f"{{:{'+' if signed else ''}.{digits}f}}".format
    found = f"{number(interval.value)} [{number(interval.low)}, {number(interval.high)}]"
    if interval.defined < 1:
        found = found[:-1] + f"; in {interval.defined:.0%} of the draws]"
    return found
