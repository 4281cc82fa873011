"""One GPU learns what the CPU learns; run wherever there is one."""

import numpy as np
import pytest
import torch

from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_and_the_cpu_score_alike_after_50_steps(make_history):
    history = make_history(800)
    tree = {"run": {"name": "t", "storage": "t"}, "data": {"history": str(history.root)}}
    config = parse_config(tree | {"optim": {"batch": 16}}, "test")
    windows, scores = history.windows(400), []
    for device in ("cpu", "cuda"):
        learner = Learner(config, history.description.features, torch.device(device))
        shares = [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]
        for share in shares:
            learner.learn(share)
        scores.append(learner.score(shares[0]).main)
    assert np.abs(scores[0] - scores[1]).max() <= 1e-3
