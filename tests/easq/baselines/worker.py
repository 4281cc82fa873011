"""Trains methods on a history as one of several gloo workers, rank 0 first alone.

Run by the test beside it. Usage: worker.py HISTORY OUT RANK WORLD METHOD ...
"""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from easq.history import History
from easq.train.checkpoint import weights_of
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of


def train(history: str, method: str, rank: int, world: int) -> dict[str, torch.Tensor]:
    data = History.open(history)
    config = parse_config(
        {
            "run": {"name": "test", "storage": "test"},
            "data": {"history": history},
            "model": {"width": 16, "method": method},
            "optim": {"batch": 16},
            "pairs": {"cross_user_alignment": 0.2},
            "classic_dpo": {"warm_up_windows": 1},
        },
        "test",
    )
    learner = Learner(config, data.description.features, torch.device("cpu"), torch.float64)
    windows = data.windows(17)  # each ends in a step of one request
    for window in windows:
        learner.learn(share_of(data.read(window), window, len(windows), rank, world))
    return weights_of(learner.state)


def keep(history: str, out: Path, rank: int, world: int, methods: list[str]) -> None:
    for method in methods:
        try:
            weights = train(history, method, rank, world)
        except ValueError as error:
            (out / f"{world}-{method}.refused").write_text(str(error))
            continue
        if rank == 0:
            save_file(weights, out / f"{world}-{method}.safetensors")


def main(history: str, out: Path, rank: int, world: int, methods: list[str]) -> None:
    torch.set_num_threads(1)
    if rank == 0:
        keep(history, out, 0, 1, methods)
    dist.init_process_group("gloo", f"file://{out / 'store'}", rank=rank, world_size=world)
    keep(history, out, rank, world, methods)
    dist.barrier()  # nobody leaves while another still needs it
    os._exit(0)  # gloo's threads may abort the process at an ordinary end


if __name__ == "__main__":
    h, o, r, w, *names = sys.argv[1:]
    main(h, Path(o), int(r), int(w), names)
