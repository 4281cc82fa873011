"""Who is asked, who answers, and what: the questionnaire of EASQ §4.2 on hidden satisfaction.

Answers are biased as real ones are: only those who watched are asked, and strong feelings, and
good ones above all, answer more often. "Uncertain" is most frequent between the thresholds, and
some press the wrong button.
"""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit

from easq.events import Answer
from easq.simulate.world import World, WorldConfig

Pace = Literal["paper", "accelerated"]


class QuestionnaireConfig(BaseModel):
    """How often viewers are asked and answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shown: float = Field(gt=0, le=1)
    """Share of eligible views that get the questionnaire."""
    respond: float
    """Log-odds of an answer at z = 0."""
    extremity: float = 0.35
    """Change of those log-odds by |z|."""
    goodwill: float = 0.3
    """Change of those log-odds by z."""
    uncertain: float = Field(default=0.25, ge=0, le=1)
    """Share of "Uncertain" midway between the thresholds."""
    flipped: float = Field(default=0.05, ge=0, le=1)
    """Share of the other answers that say the opposite."""


QUESTIONNAIRES: dict[Pace, QuestionnaireConfig] = {
    "paper": QuestionnaireConfig(shown=0.0078, respond=-4.85),
    "accelerated": QuestionnaireConfig(shown=0.156, respond=-1.75),
}
"""`paper`: 0.5 % of views are asked and 1.6 % of those answer (EASQ §1: under 2 %), 1 answer in
12,000 views. `accelerated`: 10 % and 23 %, 1 in 42: about 290 times as many, of the same kind."""


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
    chance_uncertain = config.uncertain * np.exp(-0.5 * ((satisfaction - middle) / half) ** 2)
    good = satisfaction > middle
    good ^= rng.random(len(satisfaction)) < config.flipped
    opinion = np.where(good, Answer.SATISFIED, Answer.DISSATISFIED)
    uncertain = rng.random(len(satisfaction)) < chance_uncertain
    return np.where(uncertain, Answer.UNCERTAIN, opinion)
