"""Metrics of a window over all workers, from scores made before it was learnt from."""

import numpy as np
import torch

from easq.evaluate import (
    Answered,
    Sums,
    answered,
    behaviour_lists,
    behaviour_sums,
    satisfaction_sums,
)
from easq.metrics import ndcg
from easq.samples import BehaviourOrder, Flat
from easq.train.budget import GAMMAS, Measured
from easq.train.collective import all_rows, all_sum

SATISFACTION_PATH = "satisfaction_path"
"""Prefix of the satisfaction metrics of s-hat; those of the served y-hat have `satisfaction`."""


def prequential_metrics(
    flat: Flat,
    main: np.ndarray,
    satisfaction: np.ndarray | None,
    order: BehaviourOrder,
    device: torch.device,
) -> dict[str, float]:
    """HR, NDCG, MRR, GAUC of behaviour, and the same of satisfaction for both pathways."""
    behaviour = behaviour_sums(flat, main, order)
    table = all_sum(torch.from_numpy(behaviour.table).to(device)).cpu().numpy()
    metrics = Sums(behaviour.names, table).as_dict()
    metrics |= satisfaction_sums(_everybodys(answered(flat, main), device)).as_dict()
    if satisfaction is not None:
        answers = _everybodys(answered(flat, satisfaction), device)
        metrics |= satisfaction_sums(answers, SATISFACTION_PATH).as_dict()
    return metrics


def measured_loss(
    flat: Flat,
    main: np.ndarray,
    satisfaction: np.ndarray,
    gamma: float,
    order: BehaviourOrder,
    device: torch.device,
) -> Measured:
    """What behaviour loses by this gamma and by others, the same numbers on all workers."""
    twin = main - gamma * satisfaction
    compared = [main, twin, *(twin + other * satisfaction for other in GAMMAS)]
    lists = [ndcg(behaviour_lists(flat, scores, order), 5).values for scores in compared]
    sums = torch.tensor([len(lists[0]), *(v.sum() for v in lists)], dtype=torch.float64)
    requests, served, alone, *mixed = all_sum(sums.to(device)).tolist()
    return Measured(requests, served, alone, tuple(mixed))


def _everybodys(answers: Answered, device: torch.device) -> Answered:
    """A user's answers live on several workers; a list needs them all."""
    ids = torch.from_numpy(np.stack([answers.user_id, answers.answer], axis=1).astype(np.int64))
    place = torch.from_numpy(answers.percentile.astype(np.float64))
    every_id, every_place = all_rows(ids.to(device)).cpu(), all_rows(place.to(device)).cpu()
    return Answered(every_id[:, 0].numpy(), every_place.numpy(), every_id[:, 1].numpy())
