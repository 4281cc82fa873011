"""One of two workers that learn windows of a log without Ray, one of them idle when it drains.

Usage: voter.py CONFIG_JSON STORE OUT RANK IDLE_RANK
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from easq.history import History
from easq.train.config import TrainConfig, parse_config
from easq.train.drain import ask_to_drain
from easq.train.run_folder import Claim, check_begun, run_folder
from easq.train.share import WindowShare, unpack
from easq.train.tail import Stretch, read_pass
from easq.train.work import Work

LEARNT = 3


def arriving(config: TrainConfig, rank: int, idle: bool) -> Iterator[WindowShare | None]:
    """To the idle worker: some windows, then nothing; it is asked to drain at the third time."""
    folder = run_folder(config)
    stretch = Stretch(config.data.history, config.data.window, config.stream, folder)
    shares = (unpack(row) for row in read_pass(stretch, rank, 2))
    if not idle:
        yield from shares
    yield from (next(shares) for _ in range(LEARNT))
    yield from (None, None)
    ask_to_drain(folder)
    while True:
        yield None


def main(config_json: str, store: str, out: str, rank: int, idle_rank: int) -> None:
    config = parse_config(json.loads(config_json), "test")
    own: Claim | None = check_begun(config, History.open(config.data.history).description)
    assert own is not None
    dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    work = Work(own, torch.device("cpu"), lambda path, position: None)
    drained = work.learn_pass(arriving(config, rank, rank == idle_rank))
    position = work.learner.position.model_dump(mode="json")
    Path(out).write_text(json.dumps({"drained": drained} | position))
    dist.barrier()
    os._exit(0)  # gloo's threads may abort the process at an ordinary end


if __name__ == "__main__":
    c, s, o, r, i = sys.argv[1:6]
    main(c, s, o, int(r), int(i))
