"""Learns a history and the windows of a log as one of several gloo workers, without Ray.

Usage: replay.py CONFIG_JSON OUT RANK WORLD WINDOWS
"""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from easq.history import History
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import unpack
from easq.train.tail import Stretch, read_pass


def main(config_json: str, out: str, rank: int, world: int, windows: int) -> None:
    torch.set_num_threads(1)
    config = parse_config(json.loads(config_json), "test")
    if world > 1:
        dist.init_process_group("gloo", f"file://{out}.store", rank=rank, world_size=world)
    history = History.open(config.data.history)
    learner = Learner(config, history.description.features, torch.device("cpu"))
    one_pass = config.stream.model_copy(update={"pass_windows": 10**9})
    stretch = Stretch(history.root, config.data.window, one_pass, Path(out))
    for row in read_pass(stretch, rank, world):
        if (share := unpack(row)) is not None:
            learner.score(share)
            learner.learn(share)
        if learner.next_window == windows:
            break
    Path(out).mkdir(parents=True, exist_ok=True)
    learner.save(Path(out))
    if world > 1:
        dist.barrier()  # nobody leaves while another still needs it
        os._exit(0)  # gloo's threads may abort the process at an ordinary end


if __name__ == "__main__":
    c, o, r, w, n = sys.argv[1:6]
    main(c, o, int(r), int(w), int(n))
