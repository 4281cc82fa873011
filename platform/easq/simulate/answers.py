"""Who is asked, who answers, and what: the questionnaire of EASQ §4.2 on hidden satisfaction.

Answers are biased as real ones are: only those who watched are asked, and strong feelings, and
good ones above all, answer more often. Between the thresholds "Uncertain" is most frequent, and
so are answers that say the opposite of what was felt.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from easq.events import Answer
from easq.simulate.world import World, WorldConfig

Pace = Literal["paper", "accelerated", "census"]


class QuestionnaireConfig(BaseModel):
    """How often viewers are asked and answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shown: float = Field(gt=0, le=1)
    """Share of eligible views that get the questionnaire."""
    eligible_only: bool = True
    """Only who watched enough is asked (EASQ §4.2.3)."""
    respond: float
    """Log-odds of an answer at z = 0."""
    extremity: float = 0.2
    """Change of those log-odds by |z|."""
    goodwill: float = 0.2
    """Change of those log-odds by z."""
    uncertain: float = Field(default=0.25, ge=0, le=1)
    """Share of "Uncertain" midway between the thresholds."""
    flipped: float = Field(default=0.12, ge=0, le=1)
    """Share of the other answers that say the opposite there; fewer where the feeling is strong,
    5 % of all."""


QUESTIONNAIRES: dict[Pace, QuestionnaireConfig] = {
    "paper": QuestionnaireConfig(shown=0.0077, respond=-4.7),
    "accelerated": QuestionnaireConfig(shown=0.154, respond=-1.55),
    "census": QuestionnaireConfig(shown=1, eligible_only=False, respond=math.inf, flipped=0),
}
"""`paper`: 0.5 % of views are asked and 1.4 % of those answer (EASQ §1: under 2 %), 1 answer in
14,500 views. `accelerated`: 10 % and 23 %, 1 in 43: about 340 times as many, of the same kind.
`census`: everyone answers about every view, and says what was felt: the ceiling of all surveys."""


class Replies(NamedTuple):
    """[N] each."""

    shown: np.ndarray  # bool
    answer: np.ndarray  # int8, easq.events.Answer


def ask(
    config: QuestionnaireConfig,
    world: World,
    user: np.ndarray,
    satisfaction: np.ndarray,
    may_ask: np.ndarray,
    rng: np.random.Generator,
) -> Replies:
    """Show the questionnaire on some of the views where `may_ask`, and draw the replies."""
    shown = may_ask & (rng.random(len(user)) < config.shown)
    return Replies(shown, reply(config, world, user, satisfaction, shown, rng))


def reply(
    config: QuestionnaireConfig,
    world: World,
    user: np.ndarray,
    satisfaction: np.ndarray,
    shown: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """What each viewer answers where the questionnaire is shown; int8 [N], easq.events.Answer."""
    log_odds = (
        config.respond
        + world.users.responsive[user]
        + config.extremity * np.abs(satisfaction)
        + config.goodwill * satisfaction
    )
    responds = shown & (rng.random(len(user)) < expit(log_odds))
    opinion = _opinions(config, world.config, satisfaction, rng)
    return np.where(responds, opinion, Answer.NONE).astype(np.int8)


def _opinions(
    config: QuestionnaireConfig,
    world: WorldConfig,
    satisfaction: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    middle = (world.satisfied_above + world.dissatisfied_below) / 2
    half = (world.satisfied_above - world.dissatisfied_below) / 2
    doubt = np.exp(-0.5 * ((satisfaction - middle) / half) ** 2)
    good = satisfaction > middle
    good ^= rng.random(len(satisfaction)) < config.flipped * doubt
    opinion = np.where(good, Answer.SATISFIED, Answer.DISSATISFIED)
    uncertain = rng.random(len(satisfaction)) < config.uncertain * doubt
    return np.where(uncertain, Answer.UNCERTAIN, opinion)
