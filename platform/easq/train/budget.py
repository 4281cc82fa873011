"""A budget of behaviour: gamma of `loss.offset` moves online until it costs what may be lost.

The constrained optimum "most satisfaction, while behaviour NDCG@5 loses at most b %" instead of a
weight tuned by hand. What is lost is measured on each window before it is learnt, against the
twin y-hat - gamma s-hat: what the same weights say of behaviour alone. The weight moves by dual
ascent on that constraint, in log gamma and on the relative error, so that one setting serves
every budget: integral control, as in Stooke et al., Responsive Safety in Reinforcement Learning
by PID Lagrangian Methods (2020), without its other two terms.

Without torch: positions hold its state.
"""

import math
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

SMOOTHED = 0.125
"""Memory of the measured loss, as a share of `BudgetConfig.requests`: short beside the time in
which gamma follows, or the two would swing."""
FASTEST = 1.0
"""Bound on the relative error: gamma changes at most e-fold in `BudgetConfig.requests`."""


class BudgetConfig(BaseModel):
    """How much behaviour may be lost for satisfaction, and how fast gamma follows."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    behaviour_loss_percent: float = Field(gt=0, lt=100)
    """b: of behaviour NDCG@5, against the twin without alignment."""
    requests: int = Field(default=16_384, ge=1)
    """In so many requests gamma falls to a half and less where twice the budget is lost. Longer:
    less noise; shorter: sooner back after a drift."""
    least: float = Field(default=0.001, gt=0)
    most: float = Field(default=3.0, gt=0)
    """Bounds of gamma; it waits there, and turns as soon as the error does."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "BudgetConfig":
        if self.least >= self.most:
            raise ValueError(f"least ({self.least}) must lie under most ({self.most})")
        return self


class Measured(NamedTuple):
    """Behaviour NDCG@5 of a window, summed over all workers' lists."""

    served: float  # of y-hat
    twin: float  # of y-hat without alignment
    lists: float


class BudgetState(BaseModel):
    """Gamma, and the sums that the smoothed loss is a ratio of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gamma: float
    served: float = 0.0
    twin: float = 0.0

    @property
    def behaviour_loss_percent(self) -> float:
        """Smoothed; 0 before anything was measured."""
        return 100 * (1 - self.served / self.twin) if self.twin else 0.0


def steered(state: BudgetState, measured: Measured, config: BudgetConfig) -> BudgetState:
    """The state once a window was measured. A window without lists changes nothing."""
    kept = math.exp(-measured.lists / (SMOOTHED * config.requests))
    served = kept * state.served + measured.served
    twin = kept * state.twin + measured.twin
    smoothed = state.model_copy(update={"served": served, "twin": twin})
    if not twin:
        return smoothed
    error = 1 - smoothed.behaviour_loss_percent / config.behaviour_loss_percent
    step = max(-FASTEST, min(error, FASTEST)) * measured.lists / config.requests
    gamma = min(max(state.gamma * math.exp(step), config.least), config.most)
    return smoothed.model_copy(update={"gamma": gamma})
