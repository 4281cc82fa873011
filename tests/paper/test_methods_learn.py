"""Every method on a small simulated world: it trains, and learns behaviour as EMER does."""

from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.baselines.fusion import fit_fusion, fusion_scores, upstream_scores
from easq.evaluate import behaviour_sums
from easq.history import History
from easq.model.config import MethodName
from easq.samples import BehaviourOrder, Flat, flatten
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of

WINDOW = 250


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    traffic = TrafficConfig(requests=1500, days=6)
    config = SimulationConfig(seed=0, traffic=traffic, questionnaire="accelerated")
    return write_simulation(Path(tmp_path_factory.mktemp("world")) / "h", config)


def last_window(history: History) -> Flat:
    return flatten(history.read(history.windows(WINDOW)[-1]))


def behaviour_ndcg(flat: Flat, scores: np.ndarray) -> float:
    return behaviour_sums(flat, scores, BehaviourOrder()).as_dict()["behaviour/ndcg_5"]


@pytest.mark.parametrize("method", get_args(MethodName))
def test_each_method_learns_behaviour(history, method):
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"method": method, "width": 32},
        "optim": {"batch": 64},
        "classic_dpo": {"warm_up_windows": 2},
        "saqrec": {"epochs": 3},
    }
    features = history.description.features
    learner = Learner(parse_config(tree, "test"), features, torch.device("cpu"))
    windows, losses = history.windows(WINDOW), {}
    for window in windows[:-1]:
        losses = learner.learn(share_of(history.read(window), window, len(windows), 0, 1))
    scores = learner.score(share_of(history.read(windows[-1]), windows[-1], len(windows), 0, 1))
    assert np.isfinite([*losses.values(), *scores.metrics.values()]).all()
    flat = last_window(history)
    of_chance = behaviour_ndcg(flat, np.zeros(len(scores.main)))
    assert behaviour_ndcg(flat, scores.main) > of_chance + 0.02
    answers_teach = {"loss/satisfaction", "loss/alignment"} & losses.keys()
    assert bool(answers_teach) == (method != "emer")


def test_the_fusion_formula_ranks_behaviour_too(history):
    first = pa.concat_tables(history.read(w) for w in history.windows(WINDOW)[:-1])
    fitted, flat = fit_fusion(flatten(first), BehaviourOrder()), last_window(history)
    scores = fusion_scores(upstream_scores(flat), fitted)
    assert behaviour_ndcg(flat, scores) > behaviour_ndcg(flat, np.zeros(len(scores))) + 0.02
