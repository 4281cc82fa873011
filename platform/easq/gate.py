"""May a candidate be served? Its scores against the champion's and a pinned anchor's.

Behaviour must be *shown* to have lost less than a margin: a version that lost more passes with
the error of the interval at most, and since the anchor does not move, neither does a chain of
small losses. Satisfaction blocks when it is shown to have fallen, because the few answers there
are can rarely show that it has not.
"""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from easq.evaluate import answered, behaviour_lists
from easq.gate_figures import (
    Interval,
    WeightFacts,
    clustered_mean,
    norm_growth,
    pooled_accuracy,
    rank_correlation,
)
from easq.metrics import ndcg
from easq.samples import BehaviourOrder, Flat

CUTOFF = 10
Outcome = Literal["passed", "blocked", "not_enough_evidence"]


class GateConfig(BaseModel):
    """How sure the gate wants to be, and of what."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    behaviour_margin: float = Field(default=0.01, gt=0)
    """Largest share of NDCG@10 that may be lost, against champion and anchor alike."""
    behaviour_precision: float = Field(default=0.002, gt=0)
    """Standard error of that share at which enough requests were seen."""
    min_requests: int = Field(default=2_000, ge=2)
    max_requests: int = Field(default=50_000, ge=2)
    """With so many it is decided, however wide the interval."""
    min_answers: int = Field(default=500, ge=2)
    """In the reservoir; with fewer, or a tenth of them of one kind, satisfaction is not judged."""
    satisfaction_margin: float = Field(default=0.01, ge=0)
    """A fall of pair accuracy that is surely larger blocks."""
    sureness: float = Field(default=2.0, gt=0)
    """Standard errors on either side of an interval: 2 are 95 %."""
    norm_growth: float = Field(default=3.0, gt=1)
    """Of a group of weights against the champion's; against the anchor's, its square."""
    spread_ratio: float = Field(default=5.0, gt=1)
    """Of the scores' standard deviation against the champion's, either way."""
    rank_correlation: float = Field(default=0.5, ge=-1, le=1)
    """Least agreement with the champion on the order inside requests."""


class Exam(NamedTuple):
    """What versions are judged on."""

    newest: Flat  # behaviour samples that none of them has learnt
    answers: Flat  # the reservoir: the last samples with an answer


class Scored(NamedTuple):
    """One version's served scores of the exam, and its weights' facts."""

    version: int
    newest: np.ndarray  # [N of newest]
    answers: np.ndarray  # [N of answers]
    weights: WeightFacts


class Verdict(BaseModel):
    """The outcome, a sentence that says why, and the figures behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome
    reason: str
    figures: dict[str, float] = Field(default_factory=dict)

    @property
    def promotes(self) -> bool:
        """Where satisfaction cannot be judged, behaviour and the anchor decide."""
        return self.outcome != "blocked"


def weights_problem(
    config: GateConfig, candidate: WeightFacts, others: dict[str, WeightFacts]
) -> str | None:
    """Why a version's weights must not be served; `others` may hold champion and anchor."""
    if candidate.not_finite:
        return f"{', '.join(candidate.not_finite[:3])} hold numbers that are not finite"
    for name, other in others.items():
        limit = config.norm_growth ** (2 if name == "anchor" else 1)
        group, growth = norm_growth(candidate, other)
        if growth > limit:
            return f"the norm of {group} is {growth:.3g} x the {name}'s; at most {limit:g} x"
    return None


def behaviour_change(exam: Flat, candidate: np.ndarray, other: np.ndarray) -> Interval:
    """Relative change of NDCG@10 over requests, clustered by user."""
    order = BehaviourOrder()
    a = ndcg(behaviour_lists(exam, candidate, order), CUTOFF)
    b = ndcg(behaviour_lists(exam, other, order), CUTOFF)
    change = clustered_mean(a.values - b.values, exam.user_id[a.ids])
    level = float(b.values.mean())
    return Interval(change.mean / level, change.error / level)


def satisfaction_change(
    exam: Flat, candidate: np.ndarray, other: np.ndarray, min_answers: int
) -> Interval | None:
    """Change of the share of (Satisfied, Dissatisfied) pairs in order; None: too few answers."""
    a, b = answered(exam, candidate), answered(exam, other)
    return pooled_accuracy(a, b, min_answers)


def is_enough(config: GateConfig, requests: int, changes: list[Interval]) -> bool:
    """Whether the newest windows can decide. Only widths are asked, never where intervals lie:
    waiting for a better value would find one.
    """
    if requests < config.min_requests:
        return False
    precise = all(change.error <= config.behaviour_precision for change in changes)
    return precise or requests >= config.max_requests


def decide(
    config: GateConfig, exam: Exam, candidate: Scored, champion: Scored, anchor: Scored
) -> Verdict:
    """Judge a candidate that has been scored on the same exam as champion and anchor."""
    others = {"champion": champion, "anchor": anchor}
    facts = {name: other.weights for name, other in others.items()}
    if (problem := weights_problem(config, candidate.weights, facts)) is not None:
        return Verdict(outcome="blocked", reason=problem)
    if not (np.isfinite(candidate.newest).all() and np.isfinite(candidate.answers).all()):
        return Verdict(outcome="blocked", reason="it gives scores that are not finite")
    figures, problems = _drift(config, exam, candidate, champion)
    unjudged = False
    for name, other in others.items():
        behaviour = behaviour_change(exam.newest, candidate.newest, other.newest)
        satisfaction = satisfaction_change(
            exam.answers, candidate.answers, other.answers, config.min_answers
        )
        figures |= _figures(f"behaviour.{name}", behaviour)
        problems += _behaviour_problem(config, name, behaviour)
        if satisfaction is None:
            unjudged = True
        else:
            figures |= _figures(f"satisfaction.{name}", satisfaction)
            problems += _satisfaction_problem(config, name, satisfaction)
    return _verdict(figures, problems, unjudged, config)


def _drift(
    config: GateConfig, exam: Exam, candidate: Scored, champion: Scored
) -> tuple[dict[str, float], list[str]]:
    """Pair losses leave the level of scores open, so its shift is only told."""
    width = max(float(champion.newest.std()), 1e-12)
    spread = float(candidate.newest.std()) / width
    shift = float(candidate.newest.mean() - champion.newest.mean()) / width
    agreement = rank_correlation(candidate.newest, champion.newest, exam.newest.request)
    problems = []
    if not 1 / config.spread_ratio <= spread <= config.spread_ratio:
        problems.append(f"its scores spread {spread:.3g} x as wide as the champion's")
    if agreement < config.rank_correlation:
        problems.append(f"it agrees with the champion's order by {agreement:.2f} only")
    figures = {"scores.spread": spread, "scores.shift": shift, "scores.agreement": agreement}
    return figures, problems


def _behaviour_problem(config: GateConfig, name: str, change: Interval) -> list[str]:
    low = change.mean - config.sureness * change.error
    if low > -config.behaviour_margin:
        return []
    return [
        f"behaviour against the {name} changed by {change.mean:+.2%} and may have lost {-low:.2%}; "
        f"less than {config.behaviour_margin:.2%} must be sure"
    ]


def _satisfaction_problem(config: GateConfig, name: str, change: Interval) -> list[str]:
    high = change.mean + config.sureness * change.error
    if high >= -config.satisfaction_margin:
        return []
    return [f"satisfaction against the {name} fell by {-change.mean:.3f}, surely by {-high:.3f}"]


def _figures(name: str, change: Interval) -> dict[str, float]:
    return {name: change.mean, f"{name}.error": change.error}


def _verdict(
    figures: dict[str, float], problems: list[str], unjudged: bool, config: GateConfig
) -> Verdict:
    if problems:
        return Verdict(outcome="blocked", reason="; ".join(problems), figures=figures)
    kept = f"behaviour {figures['behaviour.champion']:+.2%} against the champion and "
    kept += f"{figures['behaviour.anchor']:+.2%} against the anchor"
    if unjudged:
        reason = f"{kept}; fewer than {config.min_answers} answers, so these decide"
        return Verdict(outcome="not_enough_evidence", reason=reason, figures=figures)
    kept += f", satisfaction {figures['satisfaction.champion']:+.3f} and "
    kept += f"{figures['satisfaction.anchor']:+.3f}"
    return Verdict(outcome="passed", reason=kept, figures=figures)
