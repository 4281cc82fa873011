"""A champion of a simulated world, trained once, and versions that come after it."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.artefact import TRAINING_ONLY
from easq.encoding import Inputs, encode
from easq.events import BEHAVIOURS, Answer
from easq.gate import Exam, Scored
from easq.gate_figures import weight_facts
from easq.gate_samples import last_answered
from easq.history import Window
from easq.samples import Flat, flatten
from easq.simulate.columns import lists
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.train.checkpoint import weights_of
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import share_of

LEARNT, MORE, EXAMINED = 4_000, 3_000, 6_000
"""Requests that the champion has learnt, that versions after it may learn, and of the exam."""
TAUGHT, WINDOW = 1_000, 500


class Trained(NamedTuple):
    """A version's learner with the samples that it is judged on, encoded once."""

    learner: Learner
    more: pa.Table  # what no version has learnt yet
    exam: Exam
    inputs: tuple[Inputs, Inputs]

    def after(self, teach: Callable[[pa.Table], pa.Table], seed: int) -> Learner:
        """A learner that goes on from this version with some of the new samples."""
        learner = copy.deepcopy(self.learner)
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(self.more.num_rows, TAUGHT, replace=False))
        learn(learner, teach(self.more.take(pa.array(chosen)).combine_chunks()))
        return learner

    def scored(self, learner: Learner, version: int = 2) -> Scored:
        newest, answers = (scores(learner, inputs) for inputs in self.inputs)
        weights = {
            name: tensor
            for name, tensor in weights_of(learner.state).items()
            if not name.startswith(TRAINING_ONLY)
        }
        return Scored(version, newest, answers, weight_facts(weights))


@torch.inference_mode()
def scores(learner: Learner, inputs: Inputs) -> np.ndarray:
    """y-hat, as it would be served."""
    state = learner.state
    return state.ranker.serve(state.tables.tokens(inputs), inputs.slots).numpy()


def learn(learner: Learner, rows: pa.Table) -> None:
    for start in range(0, rows.num_rows, WINDOW):
        part = rows.slice(start, WINDOW)
        window = Window(
            index=learner.next_window, day="", file="", start=start, end=start + part.num_rows
        )
        learner.learn(share_of(part, window, 1, 0, 1))


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    config = SimulationConfig(
        seed=3,
        world=WorldConfig(users=400, items=400),
        traffic=TrafficConfig(requests=LEARNT + MORE + EXAMINED),
        questionnaire="accelerated",
    )
    history = write_simulation(tmp_path_factory.mktemp("world") / "h", config)
    samples = pa.concat_tables(history.read(w) for w in history.windows()).combine_chunks()
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 32, "heads": 2},
        "optim": {"batch": 64},
    }
    spec = history.description.features
    learner = Learner(parse_config(tree, "test"), spec, torch.device("cpu"))
    learn(learner, samples.slice(0, LEARNT))
    newest = flatten(samples.slice(LEARNT + MORE))
    answers = flatten(last_answered(samples, 500))
    inputs = tuple(encode(spec, flat.columns) for flat in (newest, answers))
    return Trained(learner, samples.slice(LEARNT, MORE), Exam(newest, answers), inputs)


def honest(rows: pa.Table) -> pa.Table:
    return rows


def flipped(rows: pa.Table) -> pa.Table:
    """Satisfied says Dissatisfied, and the other way round."""
    column = rows.column("answer").combine_chunks()
    answer = column.flatten().to_numpy()
    opposite = {Answer.SATISFIED: Answer.DISSATISFIED, Answer.DISSATISFIED: Answer.SATISFIED}
    turned = answer.copy()
    for given, other in opposite.items():
        turned[answer == given] = other
    return replaced(rows, "answer", turned)


def shuffled(seed: int) -> Callable[[pa.Table], pa.Table]:
    """What viewers did and said is dealt anew among all that was exposed."""

    def deal(rows: pa.Table) -> pa.Table:
        flat: Flat = flatten(rows)
        shown = np.flatnonzero(flat.exposed)
        dealt = np.random.default_rng(seed).permutation(shown)
        for name in ("answer", *(f"behaviour.{behaviour}" for behaviour in BEHAVIOURS)):
            values = rows.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
            values = values.copy()
            values[shown] = values[dealt]
            rows = replaced(rows, name, values)
        return rows

    return deal


def replaced(rows: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    index = rows.schema.get_field_index(name)
    field = rows.schema.field(index)
    lengths = rows.column("item_id").combine_chunks().value_lengths().to_numpy()
    return rows.set_column(index, field, lists(values, lengths, field.type.value_type))


def with_nan_rows(learner: Learner, seed: int) -> Learner:
    """Three embedding rows that are not numbers."""
    spoilt = copy.deepcopy(learner)
    rows = spoilt.state.tables.weight[64]
    rows[np.random.default_rng(seed).choice(len(rows), 3, replace=False)] = float("nan")
    return spoilt


def exploded(learner: Learner, seed: int) -> Learner:
    """Some embedding rows, or a layer, that are many times as long."""
    spoilt = copy.deepcopy(learner)
    rng = np.random.default_rng(seed)
    factor = 10.0 ** rng.uniform(1.5, 6)
    with torch.no_grad():
        if seed % 2:
            rows = spoilt.state.tables.weight[64]
            rows[rng.choice(len(rows), 20, replace=False)] *= factor
        else:
            for parameter in spoilt.state.ranker.main.parameters():
                parameter *= factor
    return spoilt
