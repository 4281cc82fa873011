"""When viewers come back: by how satisfied they truly were of late, not by how long they watched.

The chance to come today falls with the days since the last visit, as in KuaiRand; mood moves its
log-odds. Mood follows the satisfaction of each visited day slowly (KuaiSim's retention with true
z for behaviour), so a change of what is shown is felt in watch time at once and here days later.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, logit


class ReturnConfig(BaseModel):
    """Who comes back when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    come: tuple[float, ...] = (0.617, 0.431, 0.362, 0.338, 0.337, 0.344, 0.35)
    """Chance to come 1, 2, ... days after the last visit, the last one from there on. From the
    gaps between active days in KuaiRand: 1: .617, 2: .165, 3: .079, ... within 7 days: .975."""
    mood: float = Field(default=0.8, ge=0)
    """Log-odds of coming by mood."""
    memory: float = Field(default=0.7, ge=0, lt=1)
    """How much of yesterday's mood a visited day leaves."""


class Viewers(NamedTuple):
    """What U viewers carry from day to day."""

    mood: np.ndarray  # satisfaction of late above the usual, in units of z, [U]
    days_away: np.ndarray  # since the last visit, 1 = came yesterday, int [U]


def settled(config: ReturnConfig, users: int, rng: np.random.Generator) -> Viewers:
    """Viewers in a neutral mood, away for as long as such viewers are on any day."""
    stay_away = np.cumprod(1 - _chances(config, np.arange(1, 61), np.zeros(60)))
    share = np.concatenate([[1.0], stay_away])
    days_away = 1 + rng.choice(len(share), size=users, p=share / share.sum())
    return Viewers(np.zeros(users), days_away)


def come(config: ReturnConfig, viewers: Viewers, rng: np.random.Generator) -> np.ndarray:
    """Who opens the app today, bool [U]."""
    chance = _chances(config, viewers.days_away, viewers.mood)
    return rng.random(len(chance)) < chance


def after(config: ReturnConfig, viewers: Viewers, satisfaction: np.ndarray) -> Viewers:
    """The viewers after a day; `satisfaction` is each one's above the usual, NaN if absent."""
    came = ~np.isnan(satisfaction)
    today = config.memory * viewers.mood + (1 - config.memory) * satisfaction
    days_away = np.where(came, 1, viewers.days_away + 1)
    return Viewers(np.where(came, today, viewers.mood), days_away)


def _chances(config: ReturnConfig, days_away: np.ndarray, mood: np.ndarray) -> np.ndarray:
    usual = np.array(config.come)[np.minimum(days_away, len(config.come)) - 1]
    return expit(logit(usual) + config.mood * mood)
