"""Every method on a small simulated world: it trains, and learns behaviour as EMER does."""

from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.baselines.fusion import fit_fusion, fusion_scores, upstream_scores
from easq.encoding import encode
from easq.evaluate import behaviour_lists
from easq.history import History
from easq.metrics import auc, ndcg, rank
from easq.model.config import MethodName
from easq.model.ranker import EasqRanker
from easq.samples import BehaviourOrder, flatten
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of

WINDOW = 250


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    traffic = TrafficConfig(requests=1500, days=4)
    config = SimulationConfig(seed=0, traffic=traffic, questionnaire="accelerated")
    return write_simulation(Path(tmp_path_factory.mktemp("world")) / "h", config)


@pytest.fixture(scope="module")
def samples(history: History) -> pa.Table:
    return pa.concat_tables(history.read(window) for window in history.windows())


def late_ndcg(samples: pa.Table, scores: np.ndarray) -> float:
    """NDCG@5 of behaviour over the second half of the requests."""
    lists = behaviour_lists(flatten(samples), scores, BehaviourOrder())
    found = ndcg(lists, 5)
    return float(found.values[found.ids >= samples.num_rows // 2].mean())


def chance(samples: pa.Table) -> float:
    return late_ndcg(samples, np.zeros(len(flatten(samples).exposed)))


@pytest.mark.parametrize("method", get_args(MethodName))
def test_each_method_learns_behaviour(history, samples, method):
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
    windows, scores, losses = history.windows(WINDOW), [], {}
    for window in windows:
        share = share_of(history.read(window), window, len(windows), 0, 1)
        scores.append(learner.score(share).main)
        losses |= learner.learn(share)
        assert np.isfinite([*losses.values(), *scores[-1]]).all()
    assert late_ndcg(samples, np.concatenate(scores)) > chance(samples) + 0.02
    answers_teach = {"loss/satisfaction", "loss/alignment"} & losses.keys()
    assert bool(answers_teach) == (method != "emer")


def test_behaviour_heads_learn_what_viewers_do(history):
    """The last window's views, before it is learnt, by the head of effective views."""
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 32, "behaviour_heads": True},
        "loss": {"behaviours": 1.0},
        "optim": {"batch": 16},
    }
    spec = history.description.features
    learner = Learner(parse_config(tree, "test"), spec, torch.device("cpu"))
    windows = history.windows(WINDOW)
    shares = [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]
    for share in shares[:-1]:
        learner.learn(share)
    flat, state = flatten(shares[-1].rows), learner.state
    assert isinstance(state.ranker, EasqRanker)
    assert state.ranker.behaviours is not None
    with torch.no_grad():
        log_odds = state.ranker.behaviours(state.tables.tokens(encode(spec, flat.columns))).numpy()
    exposed = flat.exposed
    head, done = log_odds[exposed, 0], flat.behaviours["effective_view"][exposed]
    assert auc(rank(head, done, np.zeros(len(head), np.int64))).values[0] > 0.6


def test_the_fusion_formula_ranks_behaviour_too(samples):
    fitted = fit_fusion(flatten(samples.slice(0, samples.num_rows // 2)), BehaviourOrder())
    scores = fusion_scores(upstream_scores(flatten(samples)), fitted)
    assert late_ndcg(samples, scores) > chance(samples) + 0.02
