"""What is watched while training: losses by part, margins of both pathways, life of the routers."""

import torch
from torch import Tensor

from easq.model.ranker import Scores
from easq.train.batch import Batch
from easq.train.collective import all_sum
from easq.train.step import StepResult

LOSSES = ("main", "satisfaction", "alignment", "behaviours")
NAMES = (
    *LOSSES,  # loss sums, and their weights beside them
    "pairs",  # questionnaire pairs of this rank, and over them:
    "margin_main",
    "margin_satisfaction",
    "agree",
    "candidates",  # candidates, and of them those that no gate lets through
    "off_main",
    "off_satisfaction",
    "forwards",  # forward passes, and over them:
    "lora_share",
)


class Monitors:
    """Sums over the steps of a window; `result` adds them over workers."""

    def __init__(self, experts: tuple[int, int], device: torch.device) -> None:
        self.sums = torch.zeros(len(NAMES), dtype=torch.float64, device=device)
        self.weights = torch.zeros(len(LOSSES), dtype=torch.float64)  # already everybody's
        self.use = torch.zeros(sum(experts), dtype=torch.float64, device=device)
        self.experts = experts

    def add(self, step: StepResult, batch: Batch) -> None:
        self.sums[: len(LOSSES)] += step.losses
        self.weights += torch.tensor(step.weights, dtype=torch.float64)
        if step.scores is None or not len(step.scores.main):
            return
        self.sums[len(LOSSES) :] += _watch(step.scores, batch)
        gates = [
            g for g in (step.scores.main_gates, step.scores.satisfaction_gates) if g is not None
        ]
        use = torch.cat([(g.detach() > 0).sum(0) for g in gates])
        self.use[: len(use)] += use

    def result(self) -> dict[str, float]:
        """Means of the window over all workers; a mean over nothing is left out."""
        sums: dict[str, float] = dict(zip(NAMES, all_sum(self.sums).tolist(), strict=True))
        means = {
            f"loss/{name}": sums[name] / weight
            for name, weight in zip(LOSSES, self.weights.tolist(), strict=True)
            if weight
        }
        means["pairs/main"], means["pairs/questionnaire"] = float(self.weights[0]), sums["pairs"]
        if sums["pairs"]:
            for name in ("margin_main", "margin_satisfaction", "agree"):
                means[f"answers/{name}"] = sums[name] / sums["pairs"]
        if sums["candidates"]:
            means |= self._routers(sums)
        return means

    def _routers(self, sums: dict[str, float]) -> dict[str, float]:
        candidates = sums["candidates"]
        use = (all_sum(self.use) / candidates).tolist()
        named = [f"main_{k}" for k in range(self.experts[0])]
        named += [f"satisfaction_{k}" for k in range(self.experts[1])]
        return {
            "router/all_off_main": sums["off_main"] / candidates,
            "router/all_off_satisfaction": sums["off_satisfaction"] / candidates,
            "lora/norm_share": sums["lora_share"] / max(sums["forwards"], 1),
            **{f"expert/{name}": share for name, share in zip(named, use, strict=True)},
        }


def _watch(scores: Scores, batch: Batch) -> Tensor:
    y = scores.main.detach()
    watched = torch.zeros(len(NAMES) - len(LOSSES), dtype=torch.float64, device=y.device)
    watched[4] = len(y)
    watched[5] = (scores.main_gates.detach() == 0).all(1).sum()
    watched[7] = 1
    if scores.satisfaction is not None and scores.satisfaction_gates is not None:
        s, pairs = scores.satisfaction.detach(), batch.satisfaction
        margin_y = y[pairs.preferred] - y[pairs.other]
        margin_s = s[pairs.preferred] - s[pairs.other]
        watched[0] = len(margin_y)
        watched[1], watched[2] = margin_y.sum(), margin_s.sum()
        watched[3] = (margin_y.sign() == margin_s.sign()).sum()
        watched[6] = (scores.satisfaction_gates.detach() == 0).all(1).sum()
        watched[8] = scores.lora_share if scores.lora_share is not None else 0.0
    return watched
