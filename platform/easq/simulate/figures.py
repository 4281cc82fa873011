"""What a simulated world measures at: figures with their sampling errors, from tallies."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from easq.events import BEHAVIOURS
from easq.simulate.tally import PACES, RATIO_STEP, SAID, Tally
from easq.simulate.visits import Visits


class Figure(NamedTuple):
    value: float
    error: float  # standard error of the sampling of views and reactions, not of worlds


GAPS = 7
"""Days within which nearly all viewers come back."""


class Measured(NamedTuple):
    """One world."""

    views: Tally
    room: Mapping[str, float]  # NDCG@5 of z by ranking


def figures(measured: Sequence[Measured], days: Sequence[Visits]) -> dict[str, Figure]:
    """All figures that targets are set for, over some worlds and the visits of one."""
    worlds = [m.views for m in measured]
    together = np.sum([w.together for w in worlds], axis=0)
    return {
        **_rates(together),
        **_company(together),
        **_watching(worlds),
        **_convergence(worlds),
        **_questionnaire(worlds),
        **_head_room([m.room for m in measured]),
        **_visiting(days),
    }


def _rates(together: np.ndarray) -> dict[str, Figure]:
    return {b: _share(together[0, i], together[0, 0]) for i, b in enumerate(BEHAVIOURS, 1)}


def _company(together: np.ndarray) -> dict[str, Figure]:
    """P(a | b) of each two behaviours, and how many times P(a) that is."""
    found = {}
    for i, a in enumerate(BEHAVIOURS, 1):
        for j, b in enumerate(BEHAVIOURS, 1):
            both, one, other = together[i, j], together[0, i], together[0, j]
            found[f"P({a} | {b})"] = _share(both, other)
            of_one_view = together[0, 0] / max(one * other, 1)
            error = of_one_view * np.sqrt(max(both, 1))
            found[f"lift of {a} by {b}"] = Figure(both * of_one_view, error)
    return found


def _watching(worlds: Sequence[Tally]) -> dict[str, Figure]:
    moments = np.sum([w.moments for w in worlds], axis=0)
    centred = moments / moments[0, 0]
    covariance = (centred - np.outer(centred[0], centred[0]))[1:, 1:]
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    # Standardised effects on z of watching longer, and of clickbait at equal watch time.
    effects = np.linalg.solve(correlation[np.ix_([0, 2], [0, 2])], correlation[[0, 2], 1])
    error = 1 / np.sqrt(moments[0, 0])
    return {
        **_quartiles(np.sum([w.ratio for w in worlds], axis=0)),
        "correlation of watch time and z": Figure(correlation[0, 1], error),
        "effect of clickbait on z at equal watch time": Figure(effects[1], error),
    }


def _quartiles(histogram: np.ndarray) -> dict[str, Figure]:
    below = np.cumsum(histogram) / histogram.sum()
    found = {}
    for q in (0.25, 0.5, 0.75):
        value, near = np.searchsorted(below, (q, q + 0.01)) * RATIO_STEP
        error = np.sqrt(q * (1 - q) / histogram.sum()) * (near - value) / 0.01
        found[f"watch ratio, {q:.0%} quantile"] = Figure(float(value), float(error))
    return found


def _convergence(worlds: Sequence[Tally]) -> dict[str, Figure]:
    """Behaviour of answered views over what their viewers do in all views that can be asked
    about (EASQ Fig. 3)."""
    did = np.sum([w.said for w in worlds], axis=0)
    usual = np.sum([_usual(w) for w in worlds], axis=0)
    found = {}
    for a, answer in enumerate(SAID):
        for b, behaviour in enumerate(BEHAVIOURS, 1):
            error = np.sqrt(max(did[a, b], 1)) / usual[a, b]
            found[f"{behaviour} when {answer.name.lower()}"] = Figure(
                did[a, b] / usual[a, b], error
            )
    return found


def _usual(world: Tally) -> np.ndarray:
    """What those who answered so do on average, [3, 1 + B]."""
    rate = world.of_user / np.maximum(world.of_user[:, :1], 1)
    return world.said_by @ rate


def _questionnaire(worlds: Sequence[Tally]) -> dict[str, Figure]:
    moments = np.sum([w.moments for w in worlds], axis=0)
    answers, z = np.sum([w.answered for w in worlds], axis=0)
    asked = np.sum([w.asked for w in worlds], axis=0)
    found = {
        "z of the answered less that of all": Figure(
            z / answers - moments[0, 2] / moments[0, 0], 1 / np.sqrt(answers)
        )
    }
    for pace, (shown, answered) in zip(PACES, asked, strict=True):
        found[f"asked, of views ({pace})"] = _share(shown, moments[0, 0])
        found[f"answered, of asked ({pace})"] = _share(answered, shown)
    return found


def _head_room(rooms: Sequence[Mapping[str, float]]) -> dict[str, Figure]:
    """NDCG@5 of z: the best ranking by upstream scores of behaviour, and what it leaves."""
    best = [max(v for name, v in r.items() if name.startswith("upstream")) for r in rooms]
    knowable = [r["expected z (the best a model can do)"] for r in rooms]
    left = np.subtract(knowable, best)
    return {
        "NDCG@5 of z by behaviour": Figure(float(np.mean(best)), 0.0),
        "NDCG@5 of z left to what can be known": Figure(float(np.mean(left)), 0.0),
        "NDCG@5 of z left to the oracle": Figure(float(1 - np.mean(best)), 0.0),
    }


def _visiting(days: Sequence[Visits]) -> dict[str, Figure]:
    """Days of one viewer are alike, so errors are between tenths of the viewers."""
    came, views = np.stack([d.came for d in days]), np.stack([d.views for d in days])
    whole = _habits(came, views)
    tenths = [_habits(came[:, n::10], views[:, n::10]) for n in range(10)]
    return {
        name: Figure(value, float(np.std([t[name] for t in tenths], ddof=1) / np.sqrt(10)))
        for name, value in whole.items()
    }


def _habits(came: np.ndarray, views: np.ndarray) -> dict[str, float]:
    """Of some viewers on some days, [D, U] each."""
    gaps, a_day = _gaps(came), views[came]
    quartiles = {
        f"views of a user-day, {q:.0%} quantile": float(np.quantile(a_day, q))
        for q in (0.25, 0.5, 0.75)
    }
    return {
        **{f"back after {n} d": float((gaps == n).mean()) for n in range(1, GAPS)},
        f"back within {GAPS} d": float((gaps <= GAPS).mean()),
        **quartiles,
        "views of a user-day, mean": float(a_day.mean()),
    }


def _gaps(came: np.ndarray) -> np.ndarray:
    """Days from each visit to the next, of visits that had half of the days left; [D, U] in."""
    user, day = np.nonzero(came.T)
    gap, same = np.diff(day), np.diff(user) == 0
    return gap[same & (day[:-1] < len(came) // 2)]


def _share(count: float, of: float) -> Figure:
    """Where nothing was counted, the error is that of one."""
    of = max(of, 1)
    likely = max(count, 1) / of
    return Figure(float(count / of), float(np.sqrt(likely * max(1 - likely, 0) / of)))
