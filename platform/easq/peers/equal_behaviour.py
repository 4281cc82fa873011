"""Methods on a real log where they cost the same behaviour.

Behaviour is long-view GAUC inside user-days, its cost in % of EMER's; satisfaction is how far
likes that nobody was taught stand above the other candidates of their user-day.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from easq.peers.judge import HIDDEN_HATE, HIDDEN_LIKE, LONG_VIEW, Truth, lists_of
from easq.study.compare import Comparison, at_equal_behaviour
from easq.study.evidence import Evidence
from easq.study.intervals import Interval, draw
from easq.study.measures import above_curve
from easq.study.methods import Method

ASKED = (LONG_VIEW, HIDDEN_LIKE, HIDDEN_HATE)
SATISFACTION = (HIDDEN_LIKE, HIDDEN_HATE)

Rankings = Mapping[str, Sequence[Sequence[np.ndarray]]]
"""Scores of all candidates, by method, point of its curve, and training seed."""


def evidence_of(truth: Truth, rankings: Rankings) -> Evidence:
    """Judge every ranking: AUC times rows, and rows, of each question and user of one log."""
    places, points = {}, []
    for name, of_method in rankings.items():
        places[name] = slice(len(points), len(points) + len(of_method))
        points += [np.stack([user_sums(truth, scores) for scores in seeds]) for seeds in of_method]
    worlds = [np.stack(points, axis=1)]
    return Evidence(worlds, places, ASKED, SATISFACTION, behaviour=LONG_VIEW, gauc=LONG_VIEW)


def user_sums(truth: Truth, scores: np.ndarray) -> Float[np.ndarray, "question 2 user"]:
    """What each user adds to the row-weighted mean of each question."""
    users, user = np.unique(truth.flat.user_id, return_inverse=True)
    lists = lists_of(truth, scores)
    sums = np.empty((len(ASKED), 2, len(users)))
    for number, question in enumerate(ASKED):
        ids, values, rows = lists[question]
        sums[number] = [np.bincount(user[ids], w, len(users)) for w in (values * rows, rows)]
    return sums


class Found(NamedTuple):
    """A comparison at equal behaviour."""

    comparison: Comparison
    above: dict[str, dict[float, Interval]]
    """Rival -> value of the subject's knob -> hidden likes of the subject there less those of the
    rival's curve at the same cost."""


def compare(
    judged: Evidence, methods: Mapping[str, Method], subject: str, rivals: Sequence[str]
) -> Found:
    """Curves of all methods, and the subject against each where they cost the same."""
    draws = draw(judged.worlds)
    base, curves = at_equal_behaviour(judged, draws, methods, subject)
    start = judged.places[subject].start
    above = {
        rival: {
            value: draws.interval(above_curve(judged, start + i, rival, HIDDEN_LIKE))
            for i, value in enumerate(methods[subject].values)
        }
        for rival in rivals
    }
    return Found(Comparison(subject, base, curves, {}, {}, {}), above)
