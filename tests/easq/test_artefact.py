"""A version scores as the trainer did, or is refused."""

import numpy as np
import pytest
import torch

from easq.artefact import TRAINING_ONLY, VersionFile, load_ranker, save_version
from easq.samples import flatten
from easq.train.checkpoint import weights_of
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of


@pytest.fixture(params=["easq", "emer", "imputation", "easq with behaviour heads"])
def trained(request, make_history):
    history = make_history(64)
    method, *heads = request.param.split(" ", 1)
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 32, "method": method, "behaviour_heads": bool(heads)},
        "loss": {"behaviours": 1.0 if heads else 0.0},
    }
    config = parse_config(tree, "test")
    learner = Learner(config, history.description.features, torch.device("cpu"))
    window = history.windows()[0]
    share = share_of(history.read(window), window, 1, 0, 1)
    learner.learn(share)
    return learner, share


@pytest.fixture
def version(trained, tmp_path):
    learner, share = trained
    file = VersionFile(features=learner.spec, model=learner.config.model, position=learner.position)
    save_version(tmp_path, weights_of(learner.state), file, share.rows.slice(0, 5))
    return tmp_path


def test_a_logged_request_scores_the_same_in_training_and_serving(trained, version):
    learner, share = trained
    served = load_ranker(version).score(flatten(share.rows).columns)
    np.testing.assert_allclose(served, learner.score(share).main, rtol=0, atol=1e-6)


def test_one_request_scores_the_same_alone(trained, version):
    learner, share = trained
    together = learner.score(share).main
    first = flatten(share.rows.slice(0, 1)).columns
    alone = load_ranker(version).score(first)
    np.testing.assert_allclose(alone, together[: len(alone)], rtol=0, atol=1e-6)


def test_the_satisfaction_head_is_not_served(version):
    from safetensors.torch import load_file

    names = load_file(version / "ranker.safetensors")
    assert not [name for name in names if name.startswith(TRAINING_ONLY)]


@pytest.mark.parametrize("name", ["ranker.safetensors", "version.json", "golden.arrow"])
def test_a_flipped_bit_is_refused(version, name):
    data = bytearray((version / name).read_bytes())
    data[len(data) // 2] ^= 1
    (version / name).write_bytes(bytes(data))
    with pytest.raises(ValueError, match="damaged"):
        load_ranker(version)


def test_a_half_written_version_is_refused(version):
    (version / "manifest.json").unlink()
    with pytest.raises(ValueError, match="half-written"):
        load_ranker(version)


def test_one_wild_row_far_from_the_golden_requests_is_refused(trained, tmp_path):
    learner, share = trained
    weights = dict(weights_of(learner.state))
    untouched = int((~learner.touched[64]).nonzero()[0])
    weights["rows.64"] = weights["rows.64"].clone()
    weights["rows.64"][untouched] = float("nan")
    file = VersionFile(features=learner.spec, model=learner.config.model, position=learner.position)
    with pytest.raises(ValueError, match="not finite"):
        save_version(tmp_path, weights, file, share.rows.slice(0, 5))


@pytest.mark.parametrize("name", ["rows.64", "ranker.main.router.weight"])
def test_weights_of_another_shape_are_refused(trained, tmp_path, name):
    learner, share = trained
    weights = dict(weights_of(learner.state))
    weights[name] = weights[name][:-1]
    file = VersionFile(features=learner.spec, model=learner.config.model, position=learner.position)
    with pytest.raises(ValueError, match=r"differ|features need"):
        save_version(tmp_path, weights, file, share.rows.slice(0, 5))


def test_weights_that_are_not_numbers_are_refused(trained, tmp_path):
    learner, share = trained
    weights = {
        name: torch.full_like(w, float("nan")) for name, w in weights_of(learner.state).items()
    }
    file = VersionFile(features=learner.spec, model=learner.config.model, position=learner.position)
    with pytest.raises(ValueError, match="not finite"):
        save_version(tmp_path, weights, file, share.rows.slice(0, 5))
