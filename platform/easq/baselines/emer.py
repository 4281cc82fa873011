"""EMER, the base ranker: the main pathway alone, taught by behaviour alone (EASQ §5.1.3)."""

from jaxtyping import Float
from torch import Tensor, nn

from easq.encoding import Slots
from easq.model.backbone import Backbone
from easq.model.config import ModelConfig
from easq.model.moe import ReluMoe
from easq.model.ranker import Scores
from easq.train.batch import Batch, Reads
from easq.train.config import TrainConfig
from easq.train.method import Method
from easq.train.objective import Parts, Weights, main_loss, main_weight, nothing


class EmerRanker(nn.Module):
    """Backbone and main experts of EASQ, without LoRA and satisfaction pathway."""

    def __init__(self, token_width: int, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(token_width, config)
        self.main = ReluMoe(config.width, config.main)

    def forward(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Scores:
        y = self.main(self.backbone(x, slots))
        return Scores(y.score, None, y.gates, None, None)

    def serve(self, x: Float[Tensor, "candidate k"], slots: Slots) -> Float[Tensor, "candidate"]:
        return self.forward(x, slots).main

    def main_parameters(self) -> list[nn.Parameter]:
        return list(self.parameters())

    def behaviour_parameters(self) -> list[nn.Parameter]:
        return []

    def satisfaction_parameters(self) -> list[nn.Parameter]:
        return []


def _weights(batch: Batch, config: TrainConfig) -> Weights:
    return Weights(main_weight(batch), 0.0, 0.0)


def _terms(scores: Scores, taught: Tensor | None, batch: Batch, config: TrainConfig) -> Parts:
    return Parts(nothing(scores)._replace(main=main_loss(scores, batch)), nothing(scores))


EMER = Method(_weights, _terms, reads=lambda config: Reads())
