"""Steps on collated tensors with two sizes of the 64-wide table, in alternating blocks.

Usage: rows.py SMALL LARGE PAIRS      prints, for each size, the steps a second of its blocks
"""

import json
import sys
import time

import torch
from plain import settings
from reference import features, samples

from easq.answer_memory import AnswerMemory
from easq.history import Window
from easq.train.batch import Batch
from easq.train.collate import Collator
from easq.train.config import TrainConfig
from easq.train.share import share_of
from easq.train.step import State, initial_state, train_step

REQUESTS = 8192
CPU = torch.device("cpu")


def prepared(rows: int, config: TrainConfig) -> tuple[State, list[Batch]]:
    spec = features(rows)
    memory = AnswerMemory(config.pairs.remembered_per_user, config.pairs.window_days)
    collator = Collator(spec, config.order, config.pairs, memory)
    window = Window(index=0, day="", file="", start=0, end=REQUESTS)
    share = share_of(samples(REQUESTS, spec), window, 1, 0, 1)
    batches = collator.batches(share, config.optim.batch, 0, 1)
    state = initial_state(config, spec, CPU, torch.float32)
    return state, [batch.to(CPU, torch.float32) for batch in batches]


def steps_a_second(state: State, batches: list[Batch], config: TrainConfig) -> float:
    since = time.perf_counter()
    for batch in batches:
        train_step(state, batch, config)
    return len(batches) / (time.perf_counter() - since)


def main(small: int, large: int, pairs: int) -> None:
    torch.set_num_threads(1)
    config = settings("history")
    sizes = {"small": prepared(small, config), "large": prepared(large, config)}
    for state, batches in sizes.values():
        steps_a_second(state, batches, config)
    rates: dict[str, list[float]] = {name: [] for name in sizes}
    for _ in range(pairs):
        for name, (state, batches) in sizes.items():
            rates[name].append(steps_a_second(state, batches, config))
    print(json.dumps(rates))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
