"""Candidates of the registry, one after another: judged, rolled out in stages, made champion.

All that must outlive this process stands in the registry's tags and in topic `models`, so that
a gate that is killed anywhere goes on from there.
"""

import json
import logging
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from easq.announcements import Rollout
from easq.gate import GateConfig, Verdict
from easq.gate_samples import ends
from easq.log.interface import Log
from easq.registry import ANCHOR, CANDIDATE, CHAMPION, Version, aliased
from easq.registry_aliases import numbered, point, tag, tags_of
from easq.rollout import (
    RolloutConfig,
    first_stage,
    lane_stopped,
    last_stage,
    next_stage,
    rolled_back,
)
from easq.rollout_log import RolloutTail
from easq.rollout_watch import RolloutWatch
from jobs.judgement import Judgement

log = logging.getLogger(__name__)

VERDICT, REASON, AFTER = "easq.gate.verdict", "easq.gate.reason", "easq.gate.after"
AGAINST = "easq.gate.against"
"""The champion's number; a verdict against another one says nothing."""
ROLLED_OUT = "easq.gate.rollout"
"""Tag of a version that the gate has done with: `done`, `blocked`, or why it was taken back."""


class GatekeeperConfig(BaseModel):
    """Contents of the file that `easq gate --config` reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: GateConfig = GateConfig()
    rollout: RolloutConfig = RolloutConfig()


class Baking:
    """A stage of a rollout, since when, and what is seen of it."""

    def __init__(self, version: Version, stage: Rollout, events: Log) -> None:
        self.version, self.stage = version, stage
        self.since, self.watch = time.monotonic(), RolloutWatch(events, version.name, stage)


class Gatekeeper:
    """Looks, when asked to, at what there is to do, and does some of it."""

    def __init__(
        self, events: Log, uri: str, model_name: str, cache: Path, config: GatekeeperConfig
    ) -> None:
        self.log, self.uri, self.model_name, self.cache = events, uri, model_name, cache
        self.config = config
        self.tail = RolloutTail(events)
        self.judgement: Judgement | None = None
        self.baking: Baking | None = None

    def look(self) -> None:
        """Go on with the rollout or the judgement under way, or begin with the candidate.

        Raises:
            MlflowAwayError, LogError: nothing is lost by looking again later.
        """
        self.tail.look()
        if self.baking is not None:
            self._bake(self.baking)
        elif self.judgement is not None:
            self._judge(self.judgement)
        elif (candidate := aliased(self.uri, self.model_name, CANDIDATE)) is not None:
            self._begin(candidate)

    def _begin(self, candidate: Version) -> None:
        champion = aliased(self.uri, self.model_name, CHAMPION)
        tags = tags_of(self.uri, candidate)
        if ROLLED_OUT in tags:
            return
        newest, verdict = self.tail.newest, tags.get(VERDICT)
        if candidate == champion:
            self._complete(candidate, moved_here=verdict is not None)
        elif verdict not in (None, "blocked") and newest and _takes_back(newest, candidate):
            self._end(candidate, newest.reason)
        elif verdict is not None and tags.get(AGAINST, _number(champion)) == _number(champion):
            self._follow(verdict, candidate, champion, tags.get(REASON, ""))
        else:
            after = tags.get(AFTER) or json.dumps(ends(self.log))
            tag(self.uri, candidate, {AFTER: after})
            learnt = {int(p): offset for p, offset in json.loads(after).items()}
            self.judgement = Judgement(self.log, self.uri, self.cache, self.config.gate)
            self.judgement.begin(candidate, learnt)

    def _complete(self, champion: Version, moved_here: bool) -> None:
        """Tell all replicas of a champion whose last announcement a crash has swallowed.

        Args:
            moved_here: the gate has made it champion; a hand that did so is not undone.
        """
        stage = self.tail.newest
        is_overtaken = stage and not stage.follow_deltas and stage.version != champion.version
        if moved_here and is_overtaken:
            self._give_way(champion, stage)  # then as any other candidate
            return
        if stage and stage.version == champion.version and stage.ranks_below is not None:
            told = self._announce(last_stage(stage))
        else:
            told = True
        if told:
            self._end(champion, "done")

    def _judge(self, judgement: Judgement) -> None:
        champion = aliased(self.uri, self.model_name, CHAMPION)
        candidate, served = judgement.candidate, self.tail.newest
        if (verdict := judgement.look(champion, self._anchor(champion))) is None:
            return
        if self.tail.look() != served:
            return  # a rollback came while it was judged, against what is not served any more
        self.judgement = None
        tell = log.info if verdict.promotes else log.warning
        tell("version %d: %s: %s", candidate.version, verdict.outcome, verdict.reason)
        tag(self.uri, candidate, verdict_tags(verdict) | {AGAINST: _number(champion)})
        self._follow(verdict.outcome, candidate, champion, verdict.reason)

    def _follow(
        self, outcome: str, candidate: Version, champion: Version | None, reason: str
    ) -> None:
        if outcome == "blocked":
            self._block(candidate, champion, reason)
        else:
            self._roll_out(candidate, champion, reason)

    def _block(self, candidate: Version, champion: Version | None, reason: str) -> None:
        """Stop the lane, on which the same training's deltas came to the replicas unjudged.

        A lane that is stopped stays where it is: a rollback by hand may have named its version.
        """
        newest = self.tail.newest
        goes_on = newest is None or newest.follow_deltas
        if self.config.rollout.stop_when_blocked and champion is not None and goes_on:
            why = f"version {candidate.version} is blocked: {reason}"
            if not self._announce(rolled_back(candidate.version, champion.version, why)):
                return  # to look again at what has come in between
        self._end(candidate, "blocked")

    def _anchor(self, champion: Version | None) -> Version | None:
        """The pinned version; the first champion is pinned."""
        anchor = aliased(self.uri, self.model_name, ANCHOR)
        if anchor is None and champion is not None:
            point(self.uri, champion, ANCHOR)
        return anchor or champion

    def _roll_out(self, candidate: Version, champion: Version | None, reason: str) -> None:
        newest, previous = self.tail.newest, champion and champion.version
        if newest and newest.version == candidate.version:
            stage = newest
        else:
            stopped = lane_stopped(newest)
            stage = first_stage(self.config.rollout, candidate.version, previous, reason, stopped)
        self._enter(candidate, stage)

    def _enter(self, version: Version, stage: Rollout) -> None:
        if stage.ranks_below is None:
            # The alias first: without a stage of its own, a replica follows the alias.
            point(self.uri, version, CHAMPION)
            if self._announce(stage):
                self._anchor(version)
                self._end(version, "done")
            else:
                self._give_way(version, self.tail.newest)
            return
        if stage == self.tail.newest or self._announce(stage):
            self.baking = Baking(version, stage, self.log)

    def _give_way(self, version: Version, newest: Rollout | None) -> None:
        """Where a rollback came in between, the alias goes from a version to what it names."""
        if newest is None or newest.follow_deltas:
            return
        if aliased(self.uri, self.model_name, CHAMPION) == version:
            point(self.uri, numbered(self.uri, self.model_name, newest.version), CHAMPION)

    def _bake(self, baking: Baking) -> None:
        if (newest := self.tail.newest) != baking.stage:
            self._end(baking.version, f"overtaken: {newest.reason if newest else 'by hand'}")
            self._give_way(baking.version, newest)
            return
        seen = baking.watch.look(time.monotonic() - baking.since)
        following = next_stage(self.config.rollout, baking.stage, seen)
        if following is None:
            return
        if following.version == baking.version.version:
            self._enter(baking.version, following)
        elif self._announce(following):
            self._end(baking.version, following.reason)

    def _announce(self, stage: Rollout) -> bool:
        """False: a rollback by hand came in between; the next look goes on from that."""
        if not self.tail.announce(stage, time.time_ns() // 1_000_000):
            log.warning("version %d goes nowhere: a rollback came in between", stage.version)
            return False
        whom = "all replicas" if stage.ranks_below is None else f"ranks < {stage.ranks_below}"
        log.info("version %d goes to %s: %s", stage.version, whom, stage.reason)
        return True

    def _end(self, version: Version, how: str) -> None:
        self.baking = None
        tag(self.uri, version, {ROLLED_OUT: how})


def _number(champion: Version | None) -> str:
    return str(champion.version) if champion is not None else "none"


def _takes_back(newest: Rollout, version: Version) -> bool:
    return newest.previous == version.version and not newest.follow_deltas


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    figures = {f"easq.gate.{name}": f"{value:.6g}" for name, value in verdict.figures.items()}
    return figures | {REASON: verdict.reason, VERDICT: verdict.outcome}
