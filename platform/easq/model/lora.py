"""The low-rank path of sparse satisfaction signals (EASQ §4.3, Eq. 7)."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from easq.model.config import LoraConfig


class Lora(nn.Module):
    """h_LoRA = BAx, scaled by alpha / rank. B starts at zero, so EASQ starts as EMER."""

    def __init__(self, inputs: int, outputs: int, config: LoraConfig) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.empty(config.rank, inputs))
        self.B = nn.Parameter(torch.zeros(outputs, config.rank))
        self.scale = config.alpha / config.rank
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*batch k"]) -> Float[Tensor, "*batch d"]:
        return (x @ self.A.T) @ self.B.T * self.scale
