"""Evidence made by hand: what a comparison must find is known."""

from collections.abc import Mapping, Sequence

import numpy as np

from easq.study.evidence import Evidence
from easq.study.methods import BASE, Method
from easq.study.user_sums import BEHAVIOUR, METRICS, TOP_Z, TRUTH

USERS = 60
Means = Mapping[str, float]
METHODS = {
    BASE: Method("EMER", {}),
    "easq": Method("EASQ", {}, "knob", (1.0, 2.0)),
    "rival": Method("the rival", {}, "knob", (1.0, 2.0)),
    "census": Method("the census", {}, "knob", (1.0, 2.0), "census", is_ceiling=True),
}


def evidence_of(points: Mapping[str, Sequence[Means]], worlds: int = 1) -> Evidence:
    """Each method's points, as the mean of each metric; .5 where none is told. Two seeds."""
    places, first = {}, 0
    for name, of_method in points.items():
        places[name] = slice(first, first + len(of_method))
        first += len(of_method)
    means = [[point.get(m, 0.5) for m in METRICS] for of in points.values() for point in of]
    table = np.ones((2, len(means), len(METRICS), 2, USERS))
    table[:, :, :, 0] = np.array(means)[:, :, None]
    return Evidence([table for _ in range(worlds)], places)


def curve(*gains: float, shown: Sequence[float] | None = None, **more: float) -> list[Means]:
    """Points that cost 2 % and 4 % of a behaviour of .5, and gain so much truth."""
    top = gains if shown is None else shown
    return [
        {BEHAVIOUR: 0.5 * (1 - 0.02 * n), TRUTH: 0.5 + gain, TOP_Z: 0.5 + z, **more}
        for n, (gain, z) in enumerate(zip(gains, top, strict=True), 1)
    ]
