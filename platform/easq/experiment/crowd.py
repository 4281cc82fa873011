"""Users of a simulated world who live with a service, and the sums of what they truly did.

Whoever ranks for them is outside: learners in this process, or the platform over HTTP. The sums
are the users' side of it, so that what the service loses is not lost here.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from easq.events import Answer
from easq.experiment.by_scenario import (
    SumsByScenario,
    nothing_by_scenario,
    pages_by_scenario,
    plus,
)
from easq.experiment.table2 import UserSums
from easq.questionnaire import is_eligible
from easq.samples import BehaviourOrder
from easq.simulate.answers import QUESTIONNAIRES, Replies, reply
from easq.simulate.seeds import SERVED, generator
from easq.simulate.simulation import (
    Outcome,
    Scene,
    SimulationConfig,
    draw_scene,
    draw_surroundings,
)
from easq.simulate.traffic import Requests
from easq.simulate.users import Behaviour, behave
from easq.simulate.visits import Page, VisitConfig, arrive, live_day

OPENING_SECONDS, SWIPE_SECONDS = 3.0, 0.5
"""Time in the app beside watching: before a page, and between videos."""


AT_ONCE = 128
"""Pages that are ranked before their viewers tell what they did: a service takes feedback for a
while after its ranking only."""


class Served(NamedTuple):
    """What a service made of some requests' candidates, flat, [N] each."""

    place: np.ndarray  # in the request's ranking, 0 first; what was not returned comes after
    may_ask: np.ndarray  # bool: the questionnaire, once enough is watched


class Service(Protocol):
    """Ranks for users, and is told what they did."""

    def rank(self, requests: Requests, scene: Scene, /) -> Served: ...

    def tell(self, requests: Requests, outcome: Outcome, /) -> None: ...


class Crowd:
    """All users of a world. Their days begin after those of the config's traffic."""

    def __init__(
        self, config: SimulationConfig, visits: VisitConfig, service: Service, seed: int = 0
    ) -> None:
        """`seed` is of what happens in the test; the world is the config's."""
        self.config, self.visits, self.service, self.seed = config, visits, service, seed
        self.world, self.upstream = draw_surroundings(config)
        self.sums = nothing_by_scenario(len(self.world.users.activity))
        self._pages = 0

    def live(self, days: int) -> Iterator[int]:
        """Day after day; gives each day's number, from 1, once it is over."""
        users = arrive(self.visits, self.world, self.seed)
        first, explore = self.config.traffic.days, self.config.traffic.explore
        for number in range(days):
            day = first + number
            before = {name: sums.views for name, sums in self.sums.items()}
            users, _ = live_day(
                self.visits, self.world, users, day, explore, self._serve, self.seed
            )
            self.sums = {
                name: sums.after_a_day(sums.views > before[name])
                for name, sums in self.sums.items()
            }
            yield number + 1

    def _serve(self, requests: Requests) -> Page:
        """One page for each of some users, none twice."""
        starts = range(0, max(len(requests.user), 1), AT_ONCE)
        pages = [self._serve_part(requests.part(s, s + AT_ONCE)) for s in starts]
        return Page(*(np.concatenate(column) for column in zip(*pages, strict=True)))

    def _serve_part(self, requests: Requests) -> Page:
        self._pages += 1
        rng = generator(self.config.seed, SERVED, self.seed, self._pages)
        scene = draw_scene(self.config, self.world, self.upstream, requests, rng)
        served = self.service.rank(requests, scene)
        outcome = self._lived(scene, served, rng)
        self.service.tell(requests, outcome)
        self.sums = plus(
            self.sums, sums_by_scenario(requests, outcome, len(self.world.users.activity))
        )
        return page_of(outcome)

    def _lived(self, scene: Scene, served: Served, rng: np.random.Generator) -> Outcome:
        world, viewing = self.world, scene.viewing
        exposed = served.place < self.config.traffic.exposed
        did = behave(self.config.behaviour, world, viewing, rng)
        behaviour = Behaviour(
            np.where(exposed, did.watched_seconds, 0),
            {name: done & exposed for name, done in did.actions.items()},
        )
        duration = world.items.duration_seconds[viewing.item]
        shown = exposed & served.may_ask & is_eligible(behaviour.watched_seconds, duration)
        questionnaire, z = QUESTIONNAIRES[self.config.questionnaire], viewing.satisfaction
        replies = Replies(shown, reply(questionnaire, world, viewing.user, z, shown, rng))
        return Outcome(
            scene.candidates,
            scene.scores,
            served.place,
            exposed,
            behaviour,
            replies,
            z,
            scene.expected,
            BehaviourOrder().levels(did.actions),
        )


def page_of(outcome: Outcome) -> Page:
    """What each viewer made of the videos shown to them."""
    request, rows = outcome.candidates.request, len(outcome.candidates.lengths)
    views = np.bincount(request, outcome.exposed, rows).astype(np.int64)
    z = np.bincount(request, outcome.exposed * outcome.satisfaction, rows) / views
    return Page(z, np.bincount(request, outcome.behaviour.watched_seconds, rows), views)


def sums_by_scenario(requests: Requests, outcome: Outcome, users: int) -> SumsByScenario:
    """By user, what some pages came to. No active days."""
    counted = pages_by_scenario(requests.explore)
    return {name: _sums(requests, outcome, pages, users) for name, pages in counted.items()}


def _sums(requests: Requests, outcome: Outcome, counted: np.ndarray, users: int) -> UserSums:
    """Of the requests that are counted, bool [R]."""
    of = counted[outcome.candidates.request]
    user = requests.user[outcome.candidates.request][of]
    actions, answer = outcome.behaviour.actions, outcome.replies.answer

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(user, values[of], users)

    views, watched = total(outcome.exposed), total(outcome.behaviour.watched_seconds)
    opening = OPENING_SECONDS * np.bincount(requests.user[counted], minlength=users)
    return UserSums(
        active_days=np.zeros(users),
        stay_seconds=watched + opening + SWIPE_SECONDS * views,
        watched_seconds=watched,
        views=views,
        like=total(actions["like"]),
        follow=total(actions["follow"]),
        comment=total(actions["comment"]),
        forward=total(actions["forward"]),
        questions=total(outcome.replies.shown),
        answers=total(answer != Answer.NONE),
        satisfied=total(answer == Answer.SATISFIED),
        dissatisfied=total(answer == Answer.DISSATISFIED),
    )
