"""Is the simulated world like the logs? Targets with their sources, and how near it comes.

A target is missed when the measured figure lies outside its tolerance by more than 1.96 standard
errors. Where these are wider than the tolerance itself a figure that is not missed is not judged:
too few views were drawn to say that it is met.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from easq.samples import flatten
from easq.simulate.chunks import CHUNK_REQUESTS, chunks, visited
from easq.simulate.columns import sample_table
from easq.simulate.figures import Figure, Measured, figures
from easq.simulate.headroom import headroom
from easq.simulate.seeds import ROOM, TALLY, TRAFFIC, generator
from easq.simulate.simulation import SimulationConfig, draw_surroundings, simulate
from easq.simulate.tally import Tally, tally, total
from easq.simulate.traffic import draw_requests
from easq.simulate.truth import truth_table
from easq.simulate.visits import VisitConfig, Visits

DAYS = 28
PURE = "KuaiRand-Pure, 1.44 M views"
SLICE = "KuaiRand-Pure, our slice of 0.16 M"
KUAIREC = "KuaiRec, big matrix"
FIG3 = "EASQ Fig. 3"
DESIGN = "design of the simulator"


Verdict = Literal["met", "missed", "not judged"]


class Target(NamedTuple):
    """A figure that must lie in [low, high]."""

    figure: str
    aim: str
    low: float
    high: float
    source: str


class Judged(NamedTuple):
    target: Target
    measured: Figure

    @property
    def verdict(self) -> Verdict:
        (value, error), low, high = self.measured, self.target.low, self.target.high
        slack = 1.96 * error
        if value < low - slack or value > high + slack:
            return "missed"
        return "met" if slack <= (high - low) / 2 else "not judged"


def near(figure: str, value: float, tolerance: float, source: str) -> Target:
    """Within so large a part of the value."""
    low, high = value * (1 - tolerance), value * (1 + tolerance)
    return Target(figure, f"{value:g} ± {tolerance:.0%}", low, high, source)


TARGETS = (
    near("effective_view", 0.4597, 0.1, PURE),
    near("long_view", 0.3318, 0.1, PURE),
    near("like", 0.01848, 0.1, PURE),
    near("comment", 0.00255, 0.1, PURE),
    near("follow", 0.00107, 0.1, PURE),
    near("forward", 0.00096, 0.1, PURE),
    near("hate", 0.00049, 0.1, PURE),
    near("profile_enter", 0.01866, 0.1, SLICE),
    near("P(long_view | effective_view)", 0.719, 0.1, PURE),
    near("P(like | effective_view)", 0.0340, 0.15, PURE),
    near("P(like | long_view)", 0.0372, 0.15, PURE),
    near("P(long_view | comment)", 0.883, 0.1, PURE),
    near("P(long_view | hate)", 0.247, 0.2, PURE),
    near("P(like | follow)", 0.429, 0.2, PURE),
    near("lift of follow by like", 23.0, 0.2, PURE),
    near("lift of comment by like", 8.3, 0.2, PURE),
    near("lift of forward by like", 8.5, 0.2, PURE),
    # The logs hold about 9 such views: a Poisson interval of -50 % to +90 %.
    near("lift of hate by forward", 13.0, 0.5, PURE),
    near("watch ratio, 25% quantile", 0.311, 0.1, KUAIREC),
    near("watch ratio, 50% quantile", 0.716, 0.1, KUAIREC),
    near("watch ratio, 75% quantile", 1.162, 0.1, KUAIREC),
    near("like when satisfied", 1.46, 0.2, FIG3),
    near("follow when satisfied", 1.80, 0.2, FIG3),
    near("comment when satisfied", 1.54, 0.2, FIG3),
    near("forward when satisfied", 1.69, 0.2, FIG3),
    near("like when dissatisfied", 0.17, 0.2, FIG3),
    near("follow when dissatisfied", 0.15, 0.2, FIG3),
    Target("comment when dissatisfied", "clearly below 1", 0.0, 0.8, FIG3),
    Target("forward when dissatisfied", "clearly below 1", 0.0, 0.8, FIG3),
    Target("correlation of watch time and z", "below 0.5", -0.5, 0.5, DESIGN),
    Target("effect of clickbait on z at equal watch time", "below 0", -1.0, -0.1, DESIGN),
    Target("z of the answered less that of all", "above 0", 0.05, 1.0, DESIGN),
    near("asked, of views (paper)", 0.005, 0.1, "EASQ §4.2.3"),
    Target("answered, of asked (paper)", "0.01 to 0.02", 0.01, 0.02, "EASQ §1"),
    near("asked, of views (accelerated)", 0.1, 0.1, DESIGN),
    near("answered, of asked (accelerated)", 0.23, 0.1, DESIGN),
    near("back after 1 d", 0.617, 0.1, PURE),
    near("back after 2 d", 0.165, 0.1, PURE),
    near("back after 3 d", 0.079, 0.15, PURE),
    near("back after 4 d", 0.047, 0.2, PURE),
    near("back within 7 d", 0.975, 0.02, PURE),
    # Simulated pages have 8 videos, so these come in steps of 8.
    Target("views of a user-day, 25% quantile", "19 ± 8", 11, 27, KUAIREC),
    Target("views of a user-day, 50% quantile", "42 ± 8", 34, 50, KUAIREC),
    Target("views of a user-day, 75% quantile", "83 ± 8", 75, 91, KUAIREC),
    near("views of a user-day, mean", 66.5, 0.1, KUAIREC),
    Target("NDCG@5 of z left to what can be known", "0.1 or more", 0.1, 1.0, DESIGN),
    Target("NDCG@5 of z left to the oracle", "0.15 or more", 0.15, 1.0, DESIGN),
)


def calibrate(
    configs: list[SimulationConfig], progress: Callable[[int], None] = lambda views: None
) -> list[Judged]:
    """Draw the views of some worlds, and visits of the first, and judge them by `TARGETS`."""
    measured = [_measure(config, progress) for config in configs]
    found = figures(measured, four_weeks(configs[0]))
    return [Judged(target, found[target.figure]) for target in TARGETS]


def _measure(config: SimulationConfig, progress: Callable[[int], None]) -> Measured:
    parts = []
    for part in _tallies(config):
        parts.append(part)
        progress(int(part.together[0, 0]))
    return Measured(total(parts), room(config))


def _tallies(config: SimulationConfig) -> Iterator[Tally]:
    world, upstream = draw_surroundings(config)
    for number, (requests, outcome) in enumerate(chunks(config, world, upstream)):
        yield tally(world, requests, outcome, generator(config.seed, TALLY, number))


def four_weeks(config: SimulationConfig) -> Sequence[Visits]:
    """Viewers who come and go in a world for so long that gaps of two weeks can be seen."""
    traffic = config.traffic.model_copy(update={"days": DAYS})
    config = config.model_copy(update={"traffic": traffic})
    world, upstream = draw_surroundings(config)
    return list(visited(config, config.visits or VisitConfig(), world, upstream))


def room(config: SimulationConfig) -> Mapping[str, float]:
    """`headroom` over 4,096 requests of a world."""
    world, upstream = draw_surroundings(config)
    traffic = config.traffic.model_copy(update={"requests": CHUNK_REQUESTS})
    requests = draw_requests(traffic, world, generator(config.seed, TRAFFIC))
    outcome = simulate(config, world, upstream, requests, generator(config.seed, ROOM))
    flat = flatten(sample_table(config, world, requests, outcome, 0))
    truth = truth_table(traffic, requests, outcome, 0)
    return headroom(flat, truth, config.world.satisfied_above, config.seed)
