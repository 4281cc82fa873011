"""Experts behind a ReLU router (EASQ §4.4, Eqs. 9-10 and 13-14; ReMoE)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from easq.model.config import MoeConfig


class Routed(NamedTuple):
    """A head's scores, and how far each gate was open."""

    score: Float[Tensor, "candidate"]
    gates: Float[Tensor, "candidate expert"]


class Experts(nn.Module):
    """K feed-forward networks to one number each, computed densely: K is small."""

    def __init__(self, width: int, experts: int, config: MoeConfig, output_bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(width, experts * config.hidden)
        self.down = nn.Parameter(torch.empty(experts, config.hidden))
        self.bias = nn.Parameter(torch.zeros(experts)) if output_bias else None
        self.positive = config.positive
        nn.init.normal_(self.down, std=config.hidden**-0.5)

    def forward(self, h: Float[Tensor, "candidate d"]) -> Float[Tensor, "candidate expert"]:
        hidden = F.softplus(self.up(h)).view(len(h), *self.down.shape)
        out = torch.einsum("nkh,kh->nk", hidden, self.down)
        out = out if self.bias is None else out + self.bias
        return F.softplus(out) if self.positive else out


class ReluMoe(nn.Module):
    """score = sum_k ReLU(W_gate h)_k FFN_k(h), plus a shared expert that is always on.

    The router has a bias and starts open: nothing else carries a signal here (an LLM has its
    residual stream), so a router that starts shut would leave a constant score without gradient.
    Only gated experts have an output bias: pair losses do not see a shared one, and Adam would
    turn its rounding noise into steps.
    """

    def __init__(self, width: int, config: MoeConfig) -> None:
        super().__init__()
        self.experts = Experts(width, config.experts, config, output_bias=True)
        self.shared = Experts(width, 1, config, output_bias=False) if config.shared_expert else None
        self.router = nn.Linear(width, config.experts)
        nn.init.normal_(self.router.weight, std=0.01)
        nn.init.constant_(self.router.bias, config.gate_bias)

    def forward(self, h: Float[Tensor, "candidate d"]) -> Routed:
        gates = F.relu(self.router(h))
        score = (gates * self.experts(h)).sum(-1)
        if self.shared is not None:
            score = score + self.shared(h).squeeze(-1)
        return Routed(score, gates)
