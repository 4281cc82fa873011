"""The page of the simulated world beside published logs."""

from collections.abc import Sequence

from easq.simulate.calibration import Judged, Verdict
from easq.study.measures import as_json
from easq.study.page import table
from easq.study.report import Findings

HEAD = ["figure", "target", "source", "measured", "\u00b1 s.e.", "verdict"]
LIMITS = (
    "A figure is missed where it lies outside its tolerance by more than 1.96 standard errors, and "
    "not judged where these are wider than the tolerance: `easq calibrate` draws more views.",
    "Standard errors are of views and reactions; single worlds stray from their mean by some 5 %.",
)


def findings(judged: Sequence[Judged], views: int, worlds: int) -> Findings:
    """What a reader is shown."""
    caption = f"{views:,} views in {worlds} world" + "s" * (worlds != 1)
    return Findings(
        "The simulated world beside real logs",
        "Do simulated viewers watch, press, answer and come back as often, and together, as "
        "published logs and the paper say?",
        [table(HEAD, [row(one) for one in judged], caption)],
        LIMITS,
        as_json([record(one) for one in judged]),
        {"missed": len(_which(judged, "missed")), "met": len(_which(judged, "met"))},
        _said(judged),
    )


def row(one: Judged) -> list[str]:
    """A line of the table, for a page or a terminal."""
    target, (value, error) = one.target, one.measured
    figures = f"{value:.4g}", f"{error:.1g}"
    return [target.figure, target.aim, target.source, *figures, one.verdict]


def record(one: Judged) -> dict[str, str | float]:
    """A line as JSON."""
    figure = {name: float(value) for name, value in one.measured._asdict().items()}
    return one.target._asdict() | figure | {"verdict": one.verdict}


def _which(judged: Sequence[Judged], verdict: Verdict) -> list[str]:
    return [one.target.figure for one in judged if one.verdict == verdict]


def _said(judged: Sequence[Judged]) -> list[str]:
    met, missed, open_ = (_which(judged, v) for v in ("met", "missed", "not judged"))
    said = [f"Of {len(judged)} figures {len(met)} are met and {len(missed)} missed."]
    said += [f"Missed: {', '.join(missed)}."] if missed else []
    return said + ([f"Too few views to judge: {', '.join(open_)}."] if open_ else [])
