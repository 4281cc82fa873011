"""The EASQ ranker: one backbone, two pathways (EASQ Algorithm 1, lines 4-8)."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from easq.encoding import Slots
from easq.events import BEHAVIOURS
from easq.model.backbone import Backbone, Update
from easq.model.config import LoraConfig, ModelConfig
from easq.model.lora import Lora
from easq.model.moe import ReluMoe


class Scores(NamedTuple):
    """Scores of both pathways and what the monitors watch."""

    main: Float[Tensor, "candidate"]  # y-hat, Eq. 9; the only score that is served
    satisfaction: Float[Tensor, "candidate"] | None  # s-hat, Eq. 13; training only
    main_gates: Float[Tensor, "candidate expert"]
    satisfaction_gates: Float[Tensor, "candidate expert2"] | None
    lora_share: Float[Tensor, ""] | None  # ||h_LoRA|| / ||h||
    behaviours: Float[Tensor, "candidate behaviour"] | None = None  # log-odds; training only


class Hidden(NamedTuple):
    """The inputs of the two heads; equal in value, different in what they let gradients reach."""

    h: Float[Tensor, "candidate d"]
    main: Float[Tensor, "candidate d"]  # Eq. 8
    satisfaction: Float[Tensor, "candidate d"]  # Eq. 12


class EasqRanker(nn.Module):
    """Scores the candidates of each request on both pathways.

    The `detach` calls are the paper's stop_grad and the whole isolation argument: behaviour
    never trains the LoRA (Eq. 8), questionnaires never train the backbone (Eq. 12).
    """

    def __init__(self, token_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(token_width, config)
        self.main = ReluMoe(config.width, config.main)
        self.lora = _lora(token_width, config)
        self.satisfaction = ReluMoe(config.width, config.satisfaction)
        self.behaviours = _behaviour_heads(token_width, config)

    def forward(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Scores:
        hidden = self.hidden(x, slots)
        fused = hidden.main if self.config.main_head_input == "h_main" else hidden.h
        y, s = self.main(fused), self.satisfaction(hidden.satisfaction)
        share = (hidden.satisfaction - hidden.h).norm() / hidden.h.norm()
        done = None if self.behaviours is None else self.behaviours(x)
        return Scores(y.score, s.score, y.gates, s.gates, share.detach(), done)

    def serve(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Float[Tensor, "candidate"]:
        """y-hat alone, for inference: the satisfaction head is left out (§4.5)."""
        return self.main(self._main_hidden(x, slots)).score

    def _main_hidden(
        self, x: Float[Tensor, "candidate k"], slots: Slots
    ) -> Float[Tensor, "candidate d"]:
        """The main head's input alone, in one pass of the backbone."""
        if self.lora is None or self.config.main_head_input == "h":
            return self.backbone(x, slots)
        assert self.config.lora is not None
        if self.config.lora.site == "bypass":
            return self.backbone(x, slots) + self.lora(x)
        return self.backbone(x, slots, Update(self.lora, self.config.lora.site, frozen=True))

    def hidden(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Hidden:
        x_satisfaction = x if self.config.satisfaction_updates_embeddings else x.detach()
        if self.lora is None:
            h = self.backbone(x, slots)
            return Hidden(h, h, h.detach())
        if self.config.lora is not None and self.config.lora.site == "bypass":
            h = self.backbone(x, slots)  # Eq. 6
            h_lora = self.lora(x_satisfaction)  # Eq. 7
            return Hidden(h, h + h_lora.detach(), h.detach() + h_lora)  # Eqs. 8, 12
        return self._inner_update(x, x_satisfaction, slots, self.lora)

    def _inner_update(self, x: Tensor, x_satisfaction: Tensor, slots: Slots, lora: Lora) -> Hidden:
        """W0 + BA inside the backbone: one pass a pathway, each with the other's weights frozen."""
        assert self.config.lora is not None
        site = self.config.lora.site
        frozen = {name: p.detach() for name, p in self.backbone.named_parameters()}
        h = self.backbone(x, slots)
        main = self.backbone(x, slots, Update(lora, site, frozen=True))
        arguments = (x_satisfaction, slots, Update(lora, site, frozen=False))
        return Hidden(h, main, functional_call(self.backbone, frozen, arguments))

    def main_parameters(self) -> list[nn.Parameter]:
        """What L_main and L_DPO train (method: the gradient matrix)."""
        return [*self.backbone.parameters(), *self.main.parameters()]

    def satisfaction_parameters(self) -> list[nn.Parameter]:
        """What L_satis alone trains: LoRA and the satisfaction head."""
        lora = [] if self.lora is None else list(self.lora.parameters())
        return [*lora, *self.satisfaction.parameters()]

    def behaviour_parameters(self) -> list[nn.Parameter]:
        """What L_behaviours alone trains, beside rows: its heads."""
        return [] if self.behaviours is None else list(self.behaviours.parameters())


def _behaviour_heads(token_width: int, config: ModelConfig) -> nn.Linear | None:
    """Log-odds of each behaviour, linear in the features: an additive model."""
    return nn.Linear(token_width, len(BEHAVIOURS)) if config.behaviour_heads else None


def _lora(token_width: int, config: ModelConfig) -> Lora | None:
    if config.lora is None:
        return None
    inputs, outputs = _lora_shape(token_width, config.width, config.lora)
    return Lora(inputs, outputs, config.lora)


def _lora_shape(token_width: int, width: int, lora: LoraConfig) -> tuple[int, int]:
    return (width, 3 * width) if lora.site == "qkv" else (token_width, width)
