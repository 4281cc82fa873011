"""EMER with a second head on the same h: nothing is isolated, the contrast to EASQ's Eq. 12."""

from jaxtyping import Float
from torch import Tensor, nn

from easq.encoding import Slots
from easq.model.backbone import Backbone
from easq.model.config import ModelConfig
from easq.model.moe import ReluMoe
from easq.model.ranker import Scores


class SharedBottomRanker(nn.Module):
    """Backbone and main head of EMER; the satisfaction head's gradient reaches the backbone."""

    def __init__(self, token_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(token_width, config)
        self.main = ReluMoe(config.width, config.main)
        self.satisfaction = ReluMoe(config.width, config.satisfaction)

    def forward(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Scores:
        h = self.backbone(x, slots)
        y, s = self.main(h), self.satisfaction(h)
        return Scores(y.score, s.score, y.gates, s.gates, None)

    def serve(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Float[Tensor, "candidate"]:
        """y-hat alone: the satisfaction head is for training."""
        return self.main(self.backbone(x, slots)).score

    def main_parameters(self) -> list[nn.Parameter]:
        return [*self.backbone.parameters(), *self.main.parameters()]

    def behaviour_parameters(self) -> list[nn.Parameter]:
        return []

    def satisfaction_parameters(self) -> list[nn.Parameter]:
        return list(self.satisfaction.parameters())
