"""The EMER backbone: candidates of a request attend to each other (EASQ Eq. 6, EMER §1.2).

There is no positional encoding: the candidates are a set, and permuting them permutes h.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from easq.encoding import Slots
from easq.model.config import ModelConfig
from easq.model.lora import Lora


class Update(NamedTuple):
    """A low-rank update of a projection inside the backbone; `frozen` hides it from gradients."""

    lora: Lora
    site: str
    frozen: bool

    def on(self, site: str, x: Tensor) -> Tensor | float:
        if site != self.site:
            return 0.0
        delta = self.lora(x)
        return delta.detach() if self.frozen else delta


class CandidateAttention(nn.Module):
    """Multi-head self-attention over the candidates of each request, with a residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.heads = heads

    def forward(
        self, z: Float[Tensor, "candidate d"], slots: Slots, update: Update | None
    ) -> Float[Tensor, "candidate d"]:
        normed = self.norm(z)
        qkv = self.qkv(normed)
        if update is not None:
            qkv = qkv + update.on("qkv", normed)
        padded = slots.pad(qkv).unflatten(-1, (3, self.heads, -1))
        q, k, v = (t.transpose(1, 2) for t in padded.unbind(2))
        mask = None if slots.is_full else slots.mask()[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return z + self.out(slots.unpad(mixed.transpose(1, 2).flatten(2)))


class Backbone(nn.Module):
    """Tokens of candidates -> h, on the sphere of radius sqrt(d) (§5.1.4)."""

    def __init__(self, token_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.project = nn.Linear(token_width, config.width)  # W0 of Eq. 6
        self.attention = nn.ModuleList(
            CandidateAttention(config.width, config.heads) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)
        self.radius = config.width**0.5 if config.l2_normalise else None

    def forward(
        self, x: Float[Tensor, "candidate k"], slots: Slots, update: Update | None = None
    ) -> Float[Tensor, "candidate d"]:
        z = self.project(x)
        if update is not None:
            z = z + update.on("input_proj", x)
        z = F.softplus(z)
        for attention in self.attention:
            z = attention(z, slots, update)
        h = self.norm(z)
        return h if self.radius is None else F.normalize(h, dim=-1) * self.radius
