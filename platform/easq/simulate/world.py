"""A world whose viewers' true satisfaction is known: tastes, items and the hidden z.

z = taste match + quality - clickbait + chance. Clickbait also attracts (easq.simulate.users), so
whoever ranks by behaviour shows too much of it. Items have lasting properties and an author who
shapes them, so a model can learn z from ids; tastes turn slowly from day to day.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import stats


class WorldConfig(BaseModel):
    """Size of the world, and what satisfies. Weights multiply terms of about unit scale."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int = Field(default=1_000, ge=1)
    items: int = Field(default=2_000, ge=1)
    authors: int = Field(default=200, ge=1)
    tags: int = Field(default=20, ge=1)
    segments: int = Field(default=12, ge=1)
    taste_width: int = Field(default=8, ge=2)
    drift_per_day: float = Field(default=0.05, ge=0)
    """Angle in radians by which a taste turns in a day."""
    clickbait_shape: tuple[float, float] = (0.9, 1.5)
    """Beta distribution: a quarter of the items lie above 0.6."""
    taste: float = 0.55
    quality: float = 0.6
    clickbait: float = 2.4
    """Loss of satisfaction from an item without clickbait to one that is nothing else."""
    chance: float = Field(default=0.4, ge=0)
    """Part of z that belongs to the single view and that no feature tells."""
    satisfied_above: float = 0.5
    dissatisfied_below: float = -0.9

    @property
    def clickbait_mean(self) -> float:
        rises, falls = self.clickbait_shape
        return rises / (rises + falls)

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> "WorldConfig":
        if self.dissatisfied_below >= self.satisfied_above:
            raise ValueError(
                f"dissatisfied_below ({self.dissatisfied_below}) must lie under "
                f"satisfied_above ({self.satisfied_above})"
            )
        return self


class Users(NamedTuple):
    """U viewers."""

    taste: np.ndarray  # [U, K], unit length
    turning: np.ndarray  # [U, K], unit length, at right angles to taste: where it drifts
    segment: np.ndarray  # group of similar tastes, [U]
    activity: np.ndarray  # share of all requests, [U], sums to 1
    expressive: np.ndarray  # log-odds by which this viewer likes, comments ... more, [U]
    responsive: np.ndarray  # log-odds by which this viewer answers more, [U]


class Items(NamedTuple):
    """I videos."""

    taste: np.ndarray  # [I, K], unit length
    quality: np.ndarray  # unit normal, [I]
    clickbait: np.ndarray  # 0..1, [I]
    duration_seconds: np.ndarray  # [I]
    author: np.ndarray  # [I]
    tag: np.ndarray  # [I]
    popularity: np.ndarray  # share of candidates, [I], sums to 1
    age_days: np.ndarray  # on the first day, [I]
    inviting: np.ndarray  # unit normal; draws reactions whatever the viewer thinks of it, [I]


class World(NamedTuple):
    config: WorldConfig
    users: Users
    items: Items


def draw_world(config: WorldConfig, rng: np.random.Generator) -> World:
    """Draw all viewers and videos."""
    return World(config, _draw_users(config, rng), _draw_items(config, rng))


def _draw_users(config: WorldConfig, rng: np.random.Generator) -> Users:
    segment = rng.integers(config.segments, size=config.users)
    centres = rng.normal(size=(config.segments, config.taste_width))
    taste = _unit(centres[segment] + rng.normal(size=(config.users, config.taste_width)))
    turning = rng.normal(size=taste.shape)
    turning -= (turning * taste).sum(1, keepdims=True) * taste
    activity = rng.lognormal(sigma=0.8, size=config.users)
    return Users(
        taste,
        _unit(turning),
        segment,
        activity / activity.sum(),
        expressive=rng.normal(scale=0.7, size=config.users),
        responsive=rng.normal(scale=0.7, size=config.users),
    )


def _draw_items(config: WorldConfig, rng: np.random.Generator) -> Items:
    author = rng.integers(config.authors, size=config.items)
    tag = rng.integers(config.tags, size=config.items)
    centres = rng.normal(size=(config.tags, config.taste_width))
    bait = stats.norm.cdf(_by_author(config, author, rng))
    popularity = rng.lognormal(sigma=1.0, size=config.items)
    return Items(
        _unit(centres[tag] + 0.7 * rng.normal(size=(config.items, config.taste_width))),
        _by_author(config, author, rng),
        stats.beta.ppf(bait, *config.clickbait_shape),
        _durations(config.items, rng),
        author,
        tag,
        popularity / popularity.sum(),
        age_days=rng.exponential(20.0, size=config.items),
        inviting=_by_author(config, author, rng),
    )


def _by_author(config: WorldConfig, author: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit normal by item; half of its variance is the author's."""
    of_author = rng.normal(size=config.authors)[author]
    return np.sqrt(0.5) * (of_author + rng.normal(size=len(author)))


def _durations(items: int, rng: np.random.Generator) -> np.ndarray:
    """Seconds: most near the median of 9.6, a seventh much longer (KuaiRec: mean 15, max 315)."""
    long = rng.random(items) < 1 / 7
    log_median = np.where(long, np.log(30.0), np.log(9.0))
    log_seconds = rng.normal(log_median, np.where(long, 0.7, 0.35))
    return np.clip(np.exp(log_seconds), 3.0, 315.0).astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def taste_match(world: World, user: np.ndarray, day: np.ndarray, item: np.ndarray) -> np.ndarray:
    """How well each item suits the viewer's taste of that day, [N], of about unit scale."""
    angle = (world.config.drift_per_day * day)[:, None]
    today = np.cos(angle) * world.users.taste[user] + np.sin(angle) * world.users.turning[user]
    match = np.einsum("nk,nk->n", today, world.items.taste[item])
    return match * np.sqrt(world.config.taste_width)


def expected_satisfaction(world: World, match: np.ndarray, item: np.ndarray) -> np.ndarray:
    """z without the chance of the single view, [N]: the most that a model can know."""
    config, items = world.config, world.items
    return (
        config.taste * match
        + config.quality * items.quality[item]
        - config.clickbait * (items.clickbait[item] - config.clickbait_mean)
    )


def draw_satisfaction(world: World, expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hidden satisfaction z of each candidate, were it watched, [N]."""
    return expected + world.config.chance * rng.normal(size=len(expected))
