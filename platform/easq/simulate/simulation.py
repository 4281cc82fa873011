"""One step of the simulated world: requests in, everything that came of them out."""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from easq.questionnaire import is_eligible
from easq.samples import BehaviourOrder
from easq.simulate.answers import QUESTIONNAIRES, Pace, Replies, ask
from easq.simulate.seeds import WORLD, generator
from easq.simulate.traffic import Candidates, Requests, TrafficConfig, draw_candidates
from easq.simulate.upstream import Upstream, UpstreamConfig, draw_upstream, policy_ranks, score
from easq.simulate.users import Behaviour, BehaviourConfig, Viewing, behave
from easq.simulate.visits import VisitConfig
from easq.simulate.world import (
    World,
    WorldConfig,
    draw_satisfaction,
    draw_world,
    expected_satisfaction,
    taste_match,
)


class SimulationConfig(BaseModel):
    """All that decides a simulated history. The same config and seed give the same samples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 7
    world: WorldConfig = WorldConfig()
    traffic: TrafficConfig = TrafficConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    questionnaire: Pace = "accelerated"
    visits: VisitConfig | None = None
    """Viewers who come, stay and return by satisfaction. Without it, requests are independent."""


class Outcome(NamedTuple):
    """What happened to the candidates of some requests, flat, [N] each."""

    candidates: Candidates
    scores: dict[str, np.ndarray]  # upstream
    place: np.ndarray  # in the logging policy's ranking, 0 first
    exposed: np.ndarray  # bool
    behaviour: Behaviour
    replies: Replies
    satisfaction: np.ndarray
    expected: np.ndarray  # satisfaction, as far as features could tell
    level: np.ndarray  # of what viewers would do, shown or not: BehaviourOrder's


class Scene(NamedTuple):
    """R requests before anything is shown; N candidates, flat."""

    candidates: Candidates
    viewing: Viewing  # [N], with the hidden z
    expected: np.ndarray  # z as far as features could tell, [N]
    scores: dict[str, np.ndarray]  # upstream, [N] each


def draw_surroundings(config: SimulationConfig) -> tuple[World, Upstream]:
    """The world of a seed, and the models that were trained in it before."""
    rng = generator(config.seed, WORLD)
    world = draw_world(config.world, rng)
    return world, draw_upstream(config.upstream, config.world.items, rng)


def draw_scene(
    config: SimulationConfig,
    world: World,
    upstream: Upstream,
    requests: Requests,
    rng: np.random.Generator,
) -> Scene:
    """Candidates of some requests, how they would satisfy, and their upstream scores."""
    candidates = draw_candidates(config.traffic, world, requests, rng)
    of, item = candidates.request, candidates.item
    user, explore = requests.user[of], requests.explore[of]
    match = taste_match(world, user, requests.day[of], item)
    expected = expected_satisfaction(world, match, item)
    satisfaction = draw_satisfaction(world, expected, rng)
    known = Viewing(user, item, explore, match, expected)
    scores = score(upstream, config.behaviour, world, known, rng)
    return Scene(candidates, known._replace(satisfaction=satisfaction), expected, scores)


def simulate(
    config: SimulationConfig,
    world: World,
    upstream: Upstream,
    requests: Requests,
    rng: np.random.Generator,
) -> Outcome:
    """Candidates, scores, exposure, behaviour and answers of some requests."""
    scene = draw_scene(config, world, upstream, requests, rng)
    of, viewing = scene.candidates.request, scene.viewing
    place = policy_ranks(config.upstream, scene.scores, of, viewing.explore, rng)
    exposed = place < config.traffic.exposed

    would = behave(config.behaviour, world, viewing, rng)
    behaviour, level = _only(exposed, would), BehaviourOrder().levels(would.actions)
    duration = world.items.duration_seconds[viewing.item]
    questionnaire, z = QUESTIONNAIRES[config.questionnaire], viewing.satisfaction
    may_ask = exposed
    if questionnaire.eligible_only:
        may_ask = exposed & is_eligible(behaviour.watched_seconds, duration)
    replies = ask(questionnaire, world, viewing.user, z, may_ask, rng)
    return Outcome(
        scene.candidates, scene.scores, place, exposed, behaviour, replies, z, scene.expected, level
    )


def _only(exposed: np.ndarray, behaviour: Behaviour) -> Behaviour:
    """Nobody watches or presses what was not shown."""
    return Behaviour(
        np.where(exposed, behaviour.watched_seconds, 0),
        {name: done & exposed for name, done in behaviour.actions.items()},
    )
