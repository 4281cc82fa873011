"""Sums over simulated views, from which calibration reads its figures. Those of parts add up."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from easq.events import BEHAVIOURS, Answer
from easq.questionnaire import is_eligible
from easq.simulate.answers import QUESTIONNAIRES, Pace, ask, reply
from easq.simulate.simulation import Outcome
from easq.simulate.traffic import Requests
from easq.simulate.world import World

RATIO_STEP = 0.001
RATIOS = 5001
SAID = (Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED)
PACES: tuple[Pace, ...] = ("paper", "accelerated")


class Tally(NamedTuple):
    """Of views in one world. B behaviours, U viewers; the first behaviour column counts views."""

    together: np.ndarray  # views with both behaviours, [1 + B, 1 + B]
    ratio: np.ndarray  # histogram of watch ratios up to 5, [RATIOS]
    moments: np.ndarray  # of 1, watched seconds, z and clickbait, [4, 4]
    of_user: np.ndarray  # eligible views and the behaviours in them, [U, 1 + B]
    said: np.ndarray  # the same of those answered so, had all been asked, [3, 1 + B]
    said_by: np.ndarray  # by whom, [3, U]
    answered: np.ndarray  # number and sum of z of all answered views, had all been asked, [2]
    asked: np.ndarray  # questionnaires shown and answered, by pace, [PACES, 2]


def total(parts: Sequence[Tally]) -> Tally:
    """The tally of all views of some parts of one world."""
    return Tally(*(np.sum(column, axis=0) for column in zip(*parts, strict=True)))


def tally(world: World, requests: Requests, outcome: Outcome, rng: np.random.Generator) -> Tally:
    """Sums over the exposed candidates of some requests.

    Answers are drawn anew, as if every eligible view were asked about: whether one is asked is a
    matter of chance alone, so this changes no expectation and leaves less noise.
    """
    seen = outcome.exposed
    user = requests.user[outcome.candidates.request][seen]
    item, z = outcome.candidates.item[seen], outcome.satisfaction[seen]
    watched, duration = outcome.behaviour.watched_seconds[seen], world.items.duration_seconds[item]
    did = np.stack([np.ones(len(z))] + [outcome.behaviour.actions[b][seen] for b in BEHAVIOURS])
    may_ask = is_eligible(watched, duration)
    answer = reply(QUESTIONNAIRES["accelerated"], world, user, z, may_ask, rng)
    said = np.stack([answer == a for a in SAID]).astype(float)
    terms = np.stack([np.ones(len(z)), watched, z, world.items.clickbait[item]]).astype(float)
    users = len(world.users.activity)
    given = answer != Answer.NONE
    return Tally(
        together=did @ did.T,
        ratio=np.bincount(_ratio_bin(watched, duration), minlength=RATIOS),
        moments=terms @ terms.T,
        of_user=np.stack([np.bincount(user, may_ask * row, users) for row in did], axis=1),
        said=said @ did.T,
        said_by=np.stack([np.bincount(user, row, users) for row in said]),
        answered=np.array([given.sum(), z[given].sum()]),
        asked=np.array([_asked(pace, world, user, z, may_ask, rng) for pace in PACES]),
    )


def _ratio_bin(watched: np.ndarray, duration: np.ndarray) -> np.ndarray:
    return np.minimum(watched / duration / RATIO_STEP, RATIOS - 1).astype(np.int64)


def _asked(
    pace: Pace,
    world: World,
    user: np.ndarray,
    satisfaction: np.ndarray,
    may_ask: np.ndarray,
    rng: np.random.Generator,
) -> tuple[int, int]:
    replies = ask(QUESTIONNAIRES[pace], world, user, satisfaction, may_ask, rng)
    return int(replies.shown.sum()), int((replies.answer != Answer.NONE).sum())
