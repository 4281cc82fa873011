"""On simulated worlds whose truth is known: EASQ learns satisfaction from answers, at little cost.

Each world is drawn, trained on and judged anew; the intervals are Student's over worlds, so they
cover the draw of the world, of the first weights and of the shuffle, not of the users alone.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import stats

from easq.evaluate import behaviour_lists
from easq.history import History
from easq.metrics import ndcg, rank
from easq.samples import BehaviourOrder, flatten
from easq.simulate.generate import write_simulation
from easq.simulate.shuffle import shuffled_answers
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth
from easq.simulate.world import WorldConfig
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of

WINDOW = 2048


class Quality(NamedTuple):
    """NDCG@5 over the second half of a world's requests, scored before they were learnt from."""

    satisfaction: float  # of the truth, gain 1 where the viewer would be satisfied
    behaviour: float


def prequential_scores(history: History, method: str, seed: int, shuffle: bool) -> np.ndarray:
    """y-hat of every candidate, each window scored before it was learnt from."""
    tree = {"run": {"name": "t", "storage": "t", "seed": seed}, "model": {"method": method}}
    config = parse_config(tree | {"data": {"history": str(history.root)}}, "test")
    learner = Learner(config, history.description.features, torch.device("cpu"))
    samples = pa.concat_tables(history.read(window) for window in history.windows())
    if shuffle:
        samples = shuffled_answers(samples, seed)
    scores, first = [], 0
    for window in (windows := history.windows(WINDOW)):
        rows = samples.slice(first, window.end - window.start)
        share = share_of(rows, window, len(windows), 0, 1)
        scores.append(learner.score(share).main)
        learner.learn(share)
        first += rows.num_rows
    return np.concatenate(scores)


def judge(history: History, scores: np.ndarray) -> Quality:
    samples = pa.concat_tables(history.read(window) for window in history.windows())
    flat = flatten(samples)
    truth = read_truth(history).column("satisfaction").combine_chunks().flatten().to_numpy()
    late = flat.request >= samples.num_rows // 2
    satisfied = ndcg(
        rank(scores[late], truth[late] > WorldConfig().satisfied_above, flat.request[late]), 5
    )
    behaviour = ndcg(behaviour_lists(flat, scores, BehaviourOrder()), 5)
    of_late = behaviour.ids >= samples.num_rows // 2
    return Quality(float(satisfied.values.mean()), float(behaviour.values[of_late].mean()))


def gains(root: Path, worlds: int, requests: int) -> dict[str, np.ndarray]:
    """Of EASQ and of EASQ with shuffled answers over EMER, one number a world."""
    found: dict[str, list[float]] = {"easq": [], "cost": [], "shuffled": []}
    for seed in range(worlds):
        traffic = TrafficConfig(requests=requests)
        config = SimulationConfig(seed=seed, traffic=traffic, questionnaire="accelerated")
        history = write_simulation(root / str(seed), config, lambda _: None)
        emer, easq, shuffled = (
            judge(history, prequential_scores(history, method, seed, shuffle))
            for method, shuffle in (("emer", False), ("easq", False), ("easq", True))
        )
        found["easq"].append(easq.satisfaction - emer.satisfaction)
        found["cost"].append(1 - easq.behaviour / emer.behaviour)
        found["shuffled"].append(shuffled.satisfaction - emer.satisfaction)
    return {name: np.array(values) for name, values in found.items()}


def interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean over worlds."""
    margin = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - margin), float(values.mean() + margin)


def check(found: dict[str, np.ndarray]) -> None:
    for name, values in found.items():
        low, high = interval(values)
        print(f"{name}: {values.mean():+.4f} [{low:+.4f}, {high:+.4f}] over {len(values)} worlds")
    assert interval(found["easq"])[0] > 0
    assert found["cost"].mean() <= 0.03
    low, high = interval(found["shuffled"])
    assert low <= 0 <= high
    assert abs(found["shuffled"].mean()) < 0.2 * found["easq"].mean()  # nor by width alone


@pytest.mark.soak  # test_answers_teach.py has the quick form
def test_easq_beats_emer_on_true_satisfaction_and_shuffled_answers_do_not(tmp_path):
    check(gains(tmp_path, worlds=4, requests=6_000))


@pytest.mark.soak
def test_the_same_over_more_and_longer_worlds(tmp_path):
    check(gains(tmp_path, worlds=8, requests=20_000))
