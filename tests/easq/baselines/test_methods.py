"""Every method through the shared training step: which term trains what, and what it starts as."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from easq.history import History
from easq.model.build import RANKERS
from easq.model.config import MethodName
from easq.model.embedding import tokens
from easq.train.checkpoint import weights_of
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner
from easq.train.methods import METHODS
from easq.train.share import WindowShare, share_of
from easq.train.trainer import complete

CPU = torch.device("cpu")
NAMES = get_args(MethodName)
WITH_TEACHER = ("saqrec", "classic_dpo")


def config_of(history: History, method: str, **tables) -> TrainConfig:
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 16, "method": method},
        "optim": {"batch": 16},
        "saqrec": {"refresh_hours": 0},
        "classic_dpo": {"warm_up_windows": 1},
    }
    return parse_config(tree | tables, "test")


def learner_of(history: History, method: str, **tables) -> Learner:
    return Learner(config_of(history, method, **tables), history.description.features, CPU)


def shares(history: History, window: int) -> list[WindowShare]:
    windows = history.windows(window)
    return [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]


def learnt(history: History, method: str, **tables) -> Learner:
    learner = learner_of(history, method, **tables)
    for share in shares(history, 32):
        learner.learn(share)
    return learner


def assert_same_main(one: Learner, other: Learner) -> None:
    """Equal bit for bit wherever both have the weight."""
    left, right = weights_of(one.state), weights_of(other.state)
    assert {"rows.64", "ranker.backbone.project.weight"} <= left.keys() & right.keys()
    for name in left.keys() & right.keys():
        assert torch.equal(left[name], right[name]), name


def test_both_tables_know_every_method():
    assert set(NAMES) == set(METHODS) == set(RANKERS)


@pytest.mark.parametrize("method", NAMES)
def test_each_method_trains_and_scores_finite_and_leaves_emers_weights(make_history, method):
    history = make_history(128, answer_share=0.3)
    learner = learner_of(history, method)
    losses = {}
    for share in shares(history, 32):
        scores = learner.score(share)
        assert np.isfinite(scores.main).all()
        losses = learner.learn(share)
    assert all(math.isfinite(value) for value in losses.values())
    answers_teach = {"loss/satisfaction", "loss/alignment"} & losses.keys()
    assert bool(answers_teach) == (method != "emer")
    emer = weights_of(learnt(history, "emer").state)
    moved = weights_of(learner.state)
    same = [torch.equal(emer[n], moved[n]) for n in emer if n.startswith("ranker.backbone")]
    assert all(same) == (method == "emer")


TERMS = [
    ("emer", "main", {"rows", "backbone", "main"}),
    ("emer_s", "main", {"rows", "backbone", "main"}),
    ("emer_s", "alignment", {"rows", "backbone", "main"}),
    ("imputation", "main", {"rows", "backbone", "main"}),
    ("imputation", "satisfaction", {"rows", "backbone", "satisfaction"}),
    ("saqrec", "main", {"rows", "backbone", "main"}),
    ("saqrec", "satisfaction", {"rows", "backbone", "satisfaction"}),
    ("saqrec", "alignment", {"rows", "backbone", "main"}),
    ("classic_dpo", "main", {"rows", "backbone", "main"}),
    ("classic_dpo", "alignment", {"rows", "backbone", "main"}),
]


@pytest.mark.parametrize(("method", "term", "reached"), TERMS)
def test_each_term_reaches_what_its_method_says(make_history, method, term, reached):
    learner = learnt(make_history(64, answer_share=0.3), method)  # teachers are ready
    state, config = learner.state, learner.config
    extra = shares(make_history(32, seed=3, answer_share=0.5), 32)[0]
    batch = next(learner.collator.batches(extra, 32, 0, 1)).to(CPU, torch.float32)
    rows = state.tables.gather(batch.inputs)
    scores = state.ranker(tokens(rows, batch.inputs), batch.inputs.slots)
    taught = None if state.teacher is None else state.teacher.scores(batch.inputs)
    parts = METHODS[config.model.method].terms(scores, taught, batch, config)
    (getattr(parts.local, term) + getattr(parts.cross, term)).backward()
    found = {n.split(".")[0] for n, p in state.ranker.named_parameters() if _has_gradient(p)}
    found |= {"rows" for block in rows.block.values() if _has_gradient(block)}
    assert found == reached


def _has_gradient(tensor: torch.Tensor) -> bool:
    return tensor.grad is not None and bool(tensor.grad.abs().sum() > 0)


@pytest.mark.parametrize("method", ["emer_s", "classic_dpo"])
def test_without_weight_on_answers_a_method_is_emer_bit_for_bit(make_history, method):
    history = make_history(96, answer_share=0.3)
    quiet = learnt(history, method, loss={"alignment": 0.0})
    assert_same_main(quiet, learnt(history, "emer"))


def test_imputation_without_kappa_and_head_is_emer_and_with_kappa_it_is_not(make_history):
    history = make_history(96, answer_share=0.3)
    silent = {"loss": {"satisfaction": 0.0}}
    assert_same_main(
        learnt(history, "imputation", imputation={"kappa": 0.0}, **silent),
        learnt(history, "emer"),
    )
    shaped = learnt(history, "imputation", imputation={"kappa": 2.0}, **silent)
    weight = "ranker.backbone.project.weight"
    assert not torch.equal(
        weights_of(shaped.state)[weight], weights_of(learnt(history, "emer").state)[weight]
    )


def test_imputation_with_kappa_0_is_the_auxiliary_head_only(make_history):
    history = make_history(32, answer_share=0.5)
    first = {}
    for method, kappa in (("emer", 0.0), ("imputation", 0.0), ("imputation", 2.0)):
        learner = learner_of(history, method, imputation={"kappa": kappa}, optim={"batch": 32})
        first[method, kappa] = learner.learn(shares(history, 32)[0])
    aside, shaped = first["imputation", 0.0], first["imputation", 2.0]
    assert aside["loss/main"] == first["emer", 0.0]["loss/main"]
    assert aside["loss/satisfaction"] > 0
    assert shaped["loss/main"] != aside["loss/main"]


@pytest.mark.parametrize("space", ["logit", "softplus", "logsigmoid"])
def test_classic_dpo_starts_at_log_2_when_its_reference_is_frozen(make_history, space):
    history = make_history(192, answer_share=0.5)
    options = {"loss": {"space": space}, "optim": {"batch": 64}}  # one step a window
    learner = learner_of(history, "classic_dpo", classic_dpo={"warm_up_windows": 1}, **options)
    before, at_freezing, after = (learner.learn(share) for share in shares(history, 64))
    assert "loss/alignment" not in before
    assert at_freezing["loss/alignment"] == pytest.approx(math.log(2), abs=1e-7)
    assert after["loss/alignment"] != pytest.approx(math.log(2), abs=1e-7)


def test_a_frozen_reference_stays_as_it_was(make_history):
    history = make_history(256, answer_share=0.5)
    learner = learner_of(history, "classic_dpo")
    first, second, third, fourth = shares(history, 64)
    learner.learn(first)
    learner.learn(second)
    batch = next(learner.collator.batches(fourth, 64, 0, 1)).to(CPU, torch.float32)
    teacher = learner.state.teacher
    assert teacher is not None
    before = teacher.scores(batch.inputs)
    learner.learn(third)
    assert torch.equal(teacher.scores(batch.inputs), before)
    served = learner.state.ranker.serve(
        learner.state.tables.tokens(batch.inputs), batch.inputs.slots
    )
    assert not torch.allclose(served, before)


@pytest.mark.parametrize("method", WITH_TEACHER)
def test_a_method_with_a_teacher_refuses_to_be_a_run(make_history, method, tmp_path):
    history = make_history(32)
    with pytest.raises(ValueError, match=f"model.method {method} keeps a teacher"):
        complete(config_of(history, method))
    learner = learner_of(history, method)
    with pytest.raises(ValueError, match="Runs can train easq, emer, emer_s, imputation"):
        learner.save(tmp_path)


def test_imputation_resumes_from_a_checkpoint_bit_for_bit(make_history, tmp_path):
    history = make_history(128, answer_share=0.3)
    first, second = shares(history, 64)
    whole, stopped, resumed = (learner_of(history, "imputation") for _ in range(3))
    for learner in (whole, stopped):
        learner.learn(first)
    stopped.save(tmp_path)
    resumed.restore(tmp_path)
    whole.learn(second)
    resumed.learn(second)
    for name, weight in weights_of(whole.state).items():
        assert torch.equal(weight, weights_of(resumed.state)[name]), name
