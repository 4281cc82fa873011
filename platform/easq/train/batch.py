"""What one rank learns from in a step."""

from typing import NamedTuple

import torch
from torch import Tensor

from easq.encoding import Inputs
from easq.events import BEHAVIOURS


class PairTensors(NamedTuple):
    """Pairs on the device of the model."""

    preferred: Tensor  # int64 [pair]
    other: Tensor  # int64 [pair]
    weight: Tensor  # [pair]

    def to(self, device: torch.device, dtype: torch.dtype) -> "PairTensors":
        return PairTensors(
            self.preferred.to(device), self.other.to(device), self.weight.to(device, dtype)
        )


class Labels(NamedTuple):
    """Candidates whose viewers said Satisfied or Dissatisfied."""

    position: Tensor  # int64 [label]
    satisfied: Tensor  # 1 or 0, [label]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Labels":
        return Labels(self.position.to(device), self.satisfied.to(device, dtype))


class Views(NamedTuple):
    """Exposed candidates and what their viewers did."""

    position: Tensor  # int64 [view]
    done: Tensor  # 1 or 0, [view, behaviour]
    counts: Tensor  # 1 or 0: whether it is to be predicted of this view, [view, behaviour]

    def to(self, device: torch.device, dtype: torch.dtype) -> "Views":
        position, *labels = self
        return Views(position.to(device), *(label.to(device, dtype) for label in labels))


NO_VIEWS = Views(torch.zeros(0, dtype=torch.int64), *torch.zeros(2, 0, len(BEHAVIOURS)))
NO_LABELS = Labels(torch.zeros(0, dtype=torch.int64), torch.zeros(0))


class Reads(NamedTuple):
    """What a method learns from beside the behaviour pairs."""

    pairs: bool = False  # D+
    labels: bool = False  # each answer by itself
    every_request: bool = False  # also requests without any pair or label
    views: bool = False  # each behaviour by itself


PAIRS = Reads(pairs=True)


class Batch(NamedTuple):
    """One rank's part of a step."""

    inputs: Inputs
    main: PairTensors  # B+
    satisfaction: PairTensors  # D+ of request context and user window
    answered: Tensor  # all answered candidates of the step: flat position here, or -1
    cross: PairTensors  # D+ across users, positions in `answered`
    labels: Labels = NO_LABELS
    views: Views = NO_VIEWS

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        return Batch(
            self.inputs.to(device, dtype),
            self.main.to(device, dtype),
            self.satisfaction.to(device, dtype),
            self.answered.to(device),
            self.cross.to(device, dtype),
            self.labels.to(device, dtype),
            self.views.to(device, dtype),
        )
