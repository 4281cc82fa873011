"""One step of the simulated world: requests in, everything that came of them out."""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from easq.questionnaire import is_eligible
from easq.simulate.answers import QUESTIONNAIRES, Pace, Replies, ask
from easq.simulate.traffic import Candidates, Requests, TrafficConfig, draw_candidates
from easq.simulate.upstream import Upstream, UpstreamConfig, policy_ranks, score
from easq.simulate.users import Behaviour, BehaviourConfig, Viewing, behave
from easq.simulate.world import (
    World,
    WorldConfig,
    draw_satisfaction,
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


def simulate(
    config: SimulationConfig,
    world: World,
    upstream: Upstream,
    requests: Requests,
    rng: np.random.Generator,
) -> Outcome:
    """Candidates, scores, exposure, behaviour and answers of some requests."""
    candidates = draw_candidates(config.traffic, world, requests, rng)
    of, item = candidates.request, candidates.item
    user, explore = requests.user[of], requests.explore[of]
    match = taste_match(world, user, requests.day[of], item)
    expected = expected_satisfaction(world, match, item)
    satisfaction = draw_satisfaction(world, expected, rng)

    known = Viewing(user, item, explore, match, expected)
    scores = score(upstream, config.behaviour, world, known, rng)
    place = policy_ranks(config.upstream, scores, of, explore, rng)
    exposed = place < config.traffic.exposed

    viewing = known._replace(satisfaction=satisfaction)
    behaviour = _only(exposed, behave(config.behaviour, world, viewing, rng))
    may_ask = exposed & is_eligible(behaviour.watched_seconds, world.items.duration_seconds[item])
    questionnaire = QUESTIONNAIRES[config.questionnaire]
    replies = ask(questionnaire, world, user, satisfaction, may_ask, rng)
    return Outcome(candidates, scores, place, exposed, behaviour, replies, satisfaction, expected)


def _only(exposed: np.ndarray, behaviour: Behaviour) -> Behaviour:
    """Nobody watches or presses what was not shown."""
    return Behaviour(
        np.where(exposed, behaviour.watched_seconds, 0),
        {name: done & exposed for name, done in behaviour.actions.items()},
    )
