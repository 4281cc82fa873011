"""What viewers do: how long they watch, and what they press.

Attraction g decides who stays and how long; it shares taste with z, but clickbait raises it.
Clickbait that disappoints (c above z) is left sooner after the first seconds. An arousal shared
by all reactions of a view makes them come together, as in real logs. Satisfaction moves reactions
by tanh z: a very good video is liked little more often than a good one.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, ndtr

from easq.events import EFFECTIVE_SECONDS, LONG_SECONDS, reached
from easq.simulate.reactions import REACTIONS, Reaction
from easq.simulate.world import World


class BehaviourConfig(BaseModel):
    """How z and attraction turn into behaviour: fitted to easq.simulate.calibration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    taste: float = 0.5
    clickbait: float = 2.8
    quality: float = 0.1
    stay: float = 0.86
    """Log-odds to stay past the first three seconds at attraction 0."""
    watch_ratio: float = Field(default=0.685, gt=0)
    """Median share of a 9.6 s video that those who stay watch at attraction 0."""
    watch_attraction: float = 0.22
    watch_satisfaction: float = 0.1
    watch_length: float = -0.1
    """Change of the log watch ratio by log duration: long videos are not watched to the end."""
    watch_arousal: float = 0.1
    watch_chance: float = Field(default=0.38, gt=0)
    hold: float = Field(default=2.55, gt=0)
    """How much slower than before a viewer leaves after 7 s: most who got there see the end."""
    disappointment: float = Field(default=0.4, ge=0)
    """How much faster than others a viewer leaves after 7 s, by c - z where positive."""
    explore_patience: float = -0.25
    """Change of the log watch ratio in the scenario `explore`."""
    inviting: float = 0.6
    """Log-odds of every reaction by what the video does to invite one: a behaviour model learns
    it, and it says nothing of satisfaction."""
    reactions: dict[str, Reaction] = REACTIONS


class Viewing(NamedTuple):
    """N viewers before N videos, flat."""

    user: np.ndarray
    item: np.ndarray
    explore: np.ndarray  # bool: in the scenario `explore`
    match: np.ndarray  # taste match
    satisfaction: np.ndarray  # z, or what a model can know of it


class Behaviour(NamedTuple):
    """What the viewers did, [N] each."""

    watched_seconds: np.ndarray
    actions: dict[str, np.ndarray]  # bool, by behaviour


def attraction(config: BehaviourConfig, world: World, viewing: Viewing) -> np.ndarray:
    """g: how much the video draws this viewer before its content shows, [N]."""
    return (
        config.taste * viewing.match
        + config.clickbait * (world.items.clickbait[viewing.item] - world.config.clickbait_mean)
        + config.quality * world.items.quality[viewing.item]
    )


def behave(
    config: BehaviourConfig, world: World, viewing: Viewing, rng: np.random.Generator
) -> Behaviour:
    """Draw what each viewer does with the video shown."""
    g = attraction(config, world, viewing)
    arousal = rng.normal(size=len(g))
    watched = _watch(config, world, viewing, g, arousal, rng)
    duration = world.items.duration_seconds[viewing.item]
    actions = {
        "effective_view": reached(watched, duration, EFFECTIVE_SECONDS),
        "long_view": reached(watched, duration, LONG_SECONDS),
    }
    for name, reaction in config.reactions.items():
        log_odds = _log_odds(config, reaction, world, viewing, g) + reaction.arousal * arousal
        log_odds += reaction.effective * actions["effective_view"]
        log_odds += reaction.long * actions["long_view"]
        actions[name] = rng.random(len(g)) < expit(log_odds)
    return Behaviour(watched, actions)


def probabilities(config: BehaviourConfig, world: World, viewing: Viewing) -> dict[str, np.ndarray]:
    """Chance of each behaviour over arousal and chance, [N] each: what a perfect model of
    behaviour would predict from `viewing`."""
    g = attraction(config, world, viewing)
    stays = expit(config.stay + g)
    effective = stays * _reaches(config, world, viewing, g, EFFECTIVE_SECONDS)
    long = stays * _reaches(config, world, viewing, g, LONG_SECONDS)
    chances = {"effective_view": effective, "long_view": long}
    for name, reaction in config.reactions.items():
        log_odds = _log_odds(config, reaction, world, viewing, g) + reaction.arousal**2 / 2
        watching = log_odds + reaction.effective
        chances[name] = (
            (1 - effective) * expit(log_odds)
            + (effective - long) * expit(watching)
            + long * expit(watching + reaction.long)
        )
    return chances


def _log_odds(
    config: BehaviourConfig, reaction: Reaction, world: World, viewing: Viewing, g: np.ndarray
) -> np.ndarray:
    return (
        reaction.intercept
        + reaction.satisfaction * np.tanh(viewing.satisfaction)
        + reaction.attraction * g
        + config.inviting * world.items.inviting[viewing.item]
        + world.users.expressive[viewing.user]
    )


def _log_seconds(
    config: BehaviourConfig, world: World, viewing: Viewing, g: np.ndarray
) -> np.ndarray:
    """Mean log watch time of those who stay, before disappointment, [N]."""
    log_duration = np.log(world.items.duration_seconds[viewing.item])
    return (
        np.log(config.watch_ratio)
        + log_duration
        + config.watch_length * (log_duration - np.log(9.6))
        + config.watch_attraction * g
        + config.watch_satisfaction * viewing.satisfaction
        + config.explore_patience * viewing.explore
    )


def _leaving_speed(config: BehaviourConfig, world: World, viewing: Viewing) -> np.ndarray:
    gap = world.items.clickbait[viewing.item] - viewing.satisfaction
    return np.exp(config.disappointment * np.clip(gap, 0.0, 3.0)) / config.hold


def _watch(
    config: BehaviourConfig,
    world: World,
    viewing: Viewing,
    g: np.ndarray,
    arousal: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Seconds watched, replays included, at most five times the video, [N]."""
    duration = world.items.duration_seconds[viewing.item]
    noise = config.watch_arousal * arousal + config.watch_chance * rng.normal(size=len(g))
    seconds = np.exp(_log_seconds(config, world, viewing, g) + noise)
    late = np.maximum(seconds - EFFECTIVE_SECONDS, 0) / _leaving_speed(config, world, viewing)
    seconds = np.minimum(seconds, EFFECTIVE_SECONDS) + late
    skipped = rng.random(len(g)) > expit(config.stay + g)
    glance = rng.uniform(0.1, 0.95, size=len(g)) * np.minimum(3.0, duration)
    watched = np.where(skipped, glance, np.minimum(seconds, 5 * duration))
    return watched.astype(np.float32)


def _reaches(
    config: BehaviourConfig, world: World, viewing: Viewing, g: np.ndarray, seconds: float
) -> np.ndarray:
    """Chance that one who stays watches so long, or all of a shorter video, [N]."""
    goal = np.minimum(seconds, world.items.duration_seconds[viewing.item])
    late = np.maximum(goal - EFFECTIVE_SECONDS, 0) * _leaving_speed(config, world, viewing)
    needed = np.log(np.minimum(goal, EFFECTIVE_SECONDS) + late)
    spread = np.hypot(config.watch_arousal, config.watch_chance)
    return ndtr((_log_seconds(config, world, viewing, g) - needed) / spread)
