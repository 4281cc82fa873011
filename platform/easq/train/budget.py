"""A budget of behaviour: gamma of `loss.offset` moves online to where it costs what may be lost.

The constrained optimum "most satisfaction, while behaviour NDCG@5 loses at most b %" instead of a
weight tuned by hand. With an offset y-hat = twin + gamma s-hat, where the twin is what the same
weights say of behaviour alone. So each window tells, before it is learnt, what *any* gamma would
cost: the NDCG@5 of twin + gamma s-hat against the twin's. Averaged over the last requests, that
curve is read where it crosses the budget, and gamma goes there no faster than y-hat can follow.

Without torch: positions hold its state.
"""

import math
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

GAMMAS = tuple(0.01 * 1.3**k for k in range(21))
"""Where the curve is measured, .01 to 1.9; gamma stays in between. Between two, a curve that
rises as gamma^1.6 lies 2 % under the line."""
PACE = 0.5
"""Gamma changes at most e-fold in `BudgetConfig.requests` / PACE: faster, y-hat would lag behind
and the twin be taken for what it is not."""


class BudgetConfig(BaseModel):
    """How much behaviour may be lost for satisfaction; it may be changed for a run that has begun,
    whose gamma is `loss.offset` again where it is dropped."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    behaviour_loss_percent: float = Field(gt=0, lt=100)
    """b: of behaviour NDCG@5, against the twin without alignment."""
    requests: int = Field(default=4096, ge=1)
    """Memory of the curve, as its time constant. Longer: less noise; shorter: sooner back after a
    drift."""


class Measured(NamedTuple):
    """Behaviour NDCG@5 of a window, summed over all workers' requests."""

    requests: float  # with any behaviour to rank
    served: float  # of y-hat
    twin: float
    mixed: tuple[float, ...]  # of twin + gamma s-hat, for each of GAMMAS


class BudgetState(BaseModel):
    """Gamma, and the sums of Measured as they fade."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gamma: float
    served: float = 0.0
    twin: float = 0.0
    mixed: tuple[float, ...] = (0.0,) * len(GAMMAS)

    @property
    def behaviour_loss_percent(self) -> float:
        """Of the served score, lately; 0 before anything was measured."""
        return 100 * (1 - self.served / self.twin) if self.twin else 0.0


def steered(state: BudgetState, measured: Measured, config: BudgetConfig) -> BudgetState:
    """The state once a window was measured. A window without behaviour changes nothing."""
    if not measured.requests:
        return state
    age = measured.requests / config.requests
    kept = math.exp(-age)
    seen = BudgetState(
        gamma=state.gamma,
        served=kept * state.served + measured.served,
        twin=kept * state.twin + measured.twin,
        mixed=tuple(kept * old + new for old, new in zip(state.mixed, measured.mixed, strict=True)),
    )
    wanted = math.log(allowed(seen, config.behaviour_loss_percent) / state.gamma)
    step = max(-PACE * age, min(wanted, PACE * age))
    return seen.model_copy(update={"gamma": state.gamma * math.exp(step)})


def allowed(state: BudgetState, percent: float) -> float:
    """The gamma where the measured curve first crosses `percent`; an end of GAMMAS if none does."""
    lost = [100 * (1 - mixed / state.twin) if state.twin else 0.0 for mixed in state.mixed]
    above = next((k for k, loss in enumerate(lost) if loss > percent), None)
    if above is None:
        return GAMMAS[-1]
    if above == 0:
        return GAMMAS[0]
    share = (percent - lost[above - 1]) / (lost[above] - lost[above - 1])
    return GAMMAS[above - 1] * (GAMMAS[above] / GAMMAS[above - 1]) ** share
