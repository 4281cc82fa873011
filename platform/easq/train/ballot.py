"""What the workers decide together before each window, so that all of them do the same."""

from typing import NamedTuple

import torch

from easq.train.collective import all_max


class Votes(NamedTuple):
    """What at least one worker wants."""

    drain: bool  # save a checkpoint and stop
    skip: bool  # leave the window out


def ballot(drain: bool, skip: bool, device: torch.device) -> Votes:
    """One exchange. A worker casts its vote with a window in hand, or when it wants to drain.

    So no worker learns while another stops: whoever has the window waits here until all others
    have it too, or until one that still waits for it wants to drain.
    """
    votes = all_max(torch.tensor([drain, skip], dtype=torch.int32, device=device))
    return Votes(*(bool(vote) for vote in votes.tolist()))
