"""The pipeline's yardstick: the same windows learnt in one plain process, a block a line of input.

`tensors` scores and steps on tensors that were collated beforehand; `shares` also collates, and
reports as the pipeline does, from shares in memory. Each prints its requests a second.

Usage: plain.py HISTORY WINDOW WINDOWS      then lines of `tensors` or `shares` on standard input
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from easq.encoding import Inputs, encode
from easq.history import History
from easq.samples import flatten
from easq.train.batch import Batch
from easq.train.collate import Collator
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner
from easq.train.share import WindowShare, share_of
from easq.train.step import train_step

CPU = torch.device("cpu")


class Collated:
    """Windows as tensors: what is scored, and the batches of the steps."""

    def __init__(self, learner: Learner, shares: list[WindowShare]) -> None:
        self.learner, size = learner, learner.config.optim.batch
        self.scored = [
            encode(learner.spec, flatten(share.rows.slice(start, size)).columns)
            for share in shares
            for start in range(0, share.num_requests, size)
        ]
        config = learner.config
        collator = Collator(learner.spec, config.order, config.pairs, learner.memory)
        self.batches: list[Batch] = [
            batch.to(CPU, torch.float32)
            for share in shares
            for batch in collator.batches(share, size, 0, 1)
        ]

    def learn(self) -> None:
        state, config = self.learner.state, self.learner.config
        for inputs, batch in zip(self.scored, self.batches, strict=True):
            self._score(inputs)
            train_step(state, batch, config)

    @torch.inference_mode()
    def _score(self, inputs: Inputs) -> Tensor:
        state = self.learner.state
        return state.ranker(state.tables.tokens(inputs), inputs.slots).main


def learn_shares(learner: Learner, shares: list[WindowShare]) -> None:
    for share in shares:
        learner.score(share)
        learner.learn(share._replace(window=learner.next_window))


def settings(history: str) -> TrainConfig:
    tables = {"run": {"name": "plain", "storage": "."}, "data": {"history": history}}
    return parse_config(tables, "plain.py")


def main(path: Path, window: int, count: int) -> None:
    torch.set_num_threads(1)
    history = History.open(path)
    learner = Learner(settings(str(path)), history.description.features, CPU)
    windows = history.windows(window)[:count]
    shares = [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]
    collated = Collated(learner, shares)
    blocks: dict[str, Callable[[], None]] = {
        "tensors": collated.learn,
        "shares": lambda: learn_shares(learner, shares),
    }
    learn_shares(learner, shares[:1])
    print("ready", flush=True)
    for line in sys.stdin:
        since = time.perf_counter()
        blocks[line.strip()]()
        seconds = time.perf_counter() - since
        requests = sum(share.num_requests for share in shares)
        print(json.dumps({"rate": requests / seconds}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
