"""The result does not depend on the number of workers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

WORKER = Path(__file__).with_name("worker.py")


def train(
    history: Path, out: Path, world: int, dtype: str, window: int, *settings: str
) -> dict[str, torch.Tensor]:
    arguments = [str(out.with_suffix(".store")), dtype, str(window), *settings]
    workers = [
        subprocess.Popen([sys.executable, WORKER, history, out, str(rank), str(world), *arguments])
        for rank in range(world)
    ]
    assert [worker.wait(timeout=400) for worker in workers] == [0] * world
    return load_file(out / "weights.safetensors")


@pytest.fixture(scope="module")
def trained(history_at, tmp_path_factory) -> dict[int, Path]:
    """The same windows learnt in float64 by one, two and four workers."""
    folder = tmp_path_factory.mktemp("worlds")
    history = history_at(folder / "history", 205).root  # ends in a step of 13 requests
    for world in (1, 2, 4):
        train(history, folder / str(world), world, "float64", 64)
    return {world: folder / str(world) for world in (1, 2, 4)}


@pytest.mark.parametrize("kept", ["weights", "served"])
@pytest.mark.parametrize("world", [2, 4])
def test_several_workers_give_the_weights_of_one_in_float64(trained, world, kept):
    one, many = (load_file(trained[w] / f"{kept}.safetensors") for w in (1, world))
    for name, weight in one.items():
        torch.testing.assert_close(many[name], weight, rtol=0, atol=1e-9)


@pytest.mark.parametrize("world", [2, 4])
def test_several_workers_report_the_losses_and_metrics_of_one(trained, world):
    one, many = (json.loads((trained[w] / "reports.json").read_text()) for w in (1, world))
    for left, right in zip(one, many, strict=True):
        # A mean over forward passes, of which more workers have more.
        assert left.pop("lora/norm_share") > 0
        assert right.pop("lora/norm_share") > 0
        assert left.keys() == right.keys()
        for name in left:
            assert right[name] == pytest.approx(left[name], abs=1e-6), name


def test_float32_scores_agree_within_1e_4_after_50_steps(make_history, tmp_path):
    history = make_history(800).root  # 50 steps of 16
    one = train(history, tmp_path / "one", 1, "float32", 400)
    two = train(history, tmp_path / "two", 2, "float32", 400)
    scores = [_scores(history, weights) for weights in (one, two)]
    assert np.abs(scores[0] - scores[1]).max() <= 1e-4


def _scores(history: Path, weights: dict[str, torch.Tensor]) -> np.ndarray:
    from easq.history import History
    from easq.train.checkpoint import weights_of
    from easq.train.config import parse_config
    from easq.train.learner import Learner
    from easq.train.share import share_of

    data = History.open(history)
    tree = {"run": {"name": "a", "storage": "x"}, "data": {"history": str(history)}}
    config = parse_config(tree | {"model": {"width": 32}}, "test")
    learner = Learner(config, data.description.features, torch.device("cpu"))
    for name, target in weights_of(learner.state).items():
        target.copy_(weights[name])
    window = data.windows()[0]
    return learner.score(share_of(data.read(window), window, 1, 0, 1)).main


def test_a_worker_without_rows_joins_every_collective(make_history, tmp_path):
    history = make_history(17).root  # second step: one request, for rank 0 alone
    one = train(history, tmp_path / "one", 1, "float64", 17)
    two = train(history, tmp_path / "two", 2, "float64", 17)
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=0, atol=1e-9)


def test_workers_find_the_same_gamma_bit_for_bit(make_history, tmp_path):
    history = make_history(120).root
    budget = ("loss.alignment=0", "loss.offset=0.5", "budget.behaviour_loss_percent=1")
    settings = (*budget, "published.average_steps=1")
    for world in (1, 2):
        train(history, tmp_path / str(world), world, "float64", 40, *settings)
    one, first, second = (
        json.loads((tmp_path / place).read_text())["budget"]
        for place in ("1/position-0.json", "2/position-0.json", "2/position-1.json")
    )
    assert first == second
    assert first["gamma"] == pytest.approx(one["gamma"], abs=1e-9)
    assert first["mixed"] == pytest.approx(one["mixed"], abs=1e-6)
    assert one["gamma"] != 0.5
