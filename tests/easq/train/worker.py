"""Trains on a history as one of several gloo workers, without Ray; run by the tests beside it.

Usage: worker.py HISTORY OUT RANK WORLD STORE DTYPE WINDOW [key=value ...]
"""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from easq.history import History
from easq.train.checkpoint import weights_of
from easq.train.config import parse_config, put
from easq.train.learner import Learner
from easq.train.published import Published
from easq.train.share import share_of


def main(
    history: str,
    out: str,
    rank: int,
    world: int,
    store: str,
    dtype: str,
    window: int,
    settings: list[str],
) -> None:
    torch.set_num_threads(1)
    data = History.open(history)
    tree = {
        "run": {"name": "test", "storage": out},
        "data": {"history": history},
        "model": {"width": 32, "behaviour_heads": True},
        "loss": {"behaviours": 1.0},
        "optim": {"batch": 16},
        "pairs": {"cross_user_alignment": 0.2},
        "published": {"average_steps": 8},
    }
    for key, _, value in (setting.partition("=") for setting in settings):
        put(tree, key.split("."), float(value))
    config = parse_config(tree, "test")
    if world > 1:
        dist.init_process_group("gloo", f"file://{store}", rank=rank, world_size=world)
    learner = Learner(config, data.description.features, torch.device("cpu"), getattr(torch, dtype))
    published = Published(learner)
    windows, reports = data.windows(window), []
    for w in windows:
        share = share_of(data.read(w), w, len(windows), rank, world)
        scores = learner.score(share)
        report = scores.metrics | learner.learn(share, scores.loss)
        published.follow(learner)
        reports.append(report | {"collisions": learner.collision_share()})
    Path(out).mkdir(parents=True, exist_ok=True)
    learner.save(Path(out))
    (Path(out) / f"position-{rank}.json").write_text(learner.position.model_dump_json())
    if rank == 0:
        served = weights_of(published.of(learner).state)
        save_file(served, Path(out) / "served.safetensors")
        (Path(out) / "reports.json").write_text(json.dumps(reports))
    if world > 1:
        dist.barrier()  # nobody leaves while another still needs it
        os._exit(0)  # gloo's threads may abort the process at an ordinary end


if __name__ == "__main__":
    h, o, r, w, s, d, n, *rest = sys.argv[1:]
    main(h, o, int(r), int(w), s, d, int(n), rest)
