"""From a gated version to all replicas in stages, and back when a guard is breached (design §8).

Decisions, which are pure; `easq.rollout_log` writes and reads them.
"""

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from easq.announcements import Rollout


class RolloutConfig(BaseModel):
    """Stages, how long each bakes, and what ends the rollout."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    waves: tuple[int, ...] = (1, 2, 4)
    """Replicas of lower rank take the version: first the canary, then more, at last all."""
    bake_seconds: float = Field(default=20.0, ge=0)
    bake_requests: int = Field(default=100, ge=0)
    """A stage lasts at least so long and until the version has ranked so many requests in it."""
    patience_seconds: float = Field(default=300.0, gt=0)
    """A stage without those requests by then is a breach: the canary does not serve."""
    bad_share: float = Field(default=0.001, ge=0, le=1)
    """Of requests whose scores are not finite, or that are refused."""
    score_shift: float = Field(default=10.0, gt=0)
    """Of the mean score, in standard deviations; pair losses leave the level open."""
    spread_ratio: float = Field(default=5.0, gt=1)
    """Of the scores' standard deviation, either way."""
    latency_ratio: float = Field(default=2.0, gt=1)
    stop_when_blocked: bool = True
    """A blocked version takes all replicas to the champion as it was published; its training's
    deltas wait for the next version that passes. False: they are served on, judged or not."""


class Observations(NamedTuple):
    """What the new version did in a stage, beside the previous one at the same time."""

    seconds: float
    requests: int  # ranked by the new version
    bad: int  # of them not finite or refused
    score_shift: float | None = None  # None: not measured
    spread_ratio: float | None = None
    latency_ratio: float | None = None


def first_stage(
    config: RolloutConfig,
    version: int,
    previous: int | None,
    reason: str,
    stopped: str | None = None,
) -> Rollout:
    """The canary; a version that has nothing before it goes to all at once.

    `stopped`: why the lane is, which it stays for who waits.
    """
    canary = config.waves[0] if previous is not None and config.waves else None
    return Rollout(
        version=version, previous=previous, ranks_below=canary, reason=reason, stopped=stopped
    )


def next_stage(config: RolloutConfig, stage: Rollout, seen: Observations) -> Rollout | None:
    """The next wave, the way back, or None: the stage bakes on (or is the last)."""
    if stage.ranks_below is None or stage.previous is None:
        return None
    if (breach := _breach(config, seen)) is not None:
        return rolled_back(stage.version, stage.previous, breach)
    if seen.seconds < config.bake_seconds or seen.requests < config.bake_requests:
        return None
    wider = next((wave for wave in config.waves if wave > stage.ranks_below), None)
    return last_stage(stage) if wider is None else stage.model_copy(update={"ranks_below": wider})


def last_stage(stage: Rollout) -> Rollout:
    """All replicas; nobody waits for a wave any more."""
    return stage.model_copy(update={"ranks_below": None, "stopped": None})


def rolled_back(version: int, to: int, reason: str) -> Rollout:
    """All replicas serve `to` as it was published; deltas wait for the next gated version."""
    return Rollout(
        version=to, previous=version, ranks_below=None, follow_deltas=False, reason=reason
    )


def lane_stopped(newest: Rollout | None) -> str | None:
    """Why replicas that no wave has reached serve without deltas; None: they follow them."""
    if newest is None:
        return None
    if newest.ranks_below is not None:
        return newest.stopped
    return None if newest.follow_deltas else newest.reason


def _breach(config: RolloutConfig, seen: Observations) -> str | None:
    """Which guard was breached, in a sentence."""
    if seen.bad > config.bad_share * seen.requests:
        return f"{seen.bad} of {seen.requests} requests were refused or had scores not finite"
    if seen.score_shift is not None and abs(seen.score_shift) > config.score_shift:
        return f"scores moved by {seen.score_shift:+.2f} standard deviations"
    for name, ratio, limit in (
        ("the spread of scores", seen.spread_ratio, config.spread_ratio),
        ("latency", seen.latency_ratio, config.latency_ratio),
    ):
        low = 1 / limit if name != "latency" else 0.0
        if ratio is not None and not low <= ratio <= limit:
            return f"{name} is {ratio:.3g} x that of the version before; at most {limit:g} x"
    if seen.seconds > config.patience_seconds and seen.requests < config.bake_requests:
        return (
            f"it ranked {seen.requests} requests in {seen.seconds:.0f} s where "
            f"{config.bake_requests} were expected"
        )
    return None
