"""Versions that were really trained on a simulated world: bad ones are blocked, good ones pass."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.artefact import TRAINING_ONLY
from easq.encoding import Inputs, encode
from easq.events import BEHAVIOURS, Answer
from easq.features import FeatureSpec
from easq.gate import Exam, GateConfig, Scored, Verdict, behaviour_change, decide
from easq.gate_figures import weight_facts
from easq.gate_samples import last_answered
from easq.history import Window
from easq.samples import Flat, flatten
from easq.simulate.columns import lists
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.train.checkpoint import weights_of, write_checkpoint
from easq.train.config import TrainConfig, load_config, parse_config
from easq.train.learner import Learner
from easq.train.published import Published
from easq.train.share import share_of

LOOP = Path(__file__).parents[3] / "infra/config/loop.toml"
AVERAGE_STEPS = load_config(LOOP).published.average_steps
"""As `easq up` has it."""
BATCH, WINDOW = 64, 500
TAUGHT = 10 * AVERAGE_STEPS * BATCH
"""Requests that a version learns after the champion, good or bad: averages are a tenth of that."""
MORE, EXAMINED = 4 * TAUGHT, 5_000
"""Requests that versions draw theirs from (two share a quarter of theirs), and of an exam."""
EXAMS = 8
YOUNG, SETTLED = 10_000, 40_000
"""Requests that a champion has learnt. While alignment still finds its place, a young one's
successors win satisfaction for behaviour, and the gate is right to stop that."""

FIRST_WORLD = (3, WorldConfig(users=400, items=400))


class Trained(NamedTuple):
    """A version's training with the samples that it is judged on, encoded once."""

    checkpoint: Path
    config: TrainConfig
    spec: FeatureSpec
    more: pa.Table  # what no version has learnt yet
    exam: Exam
    inputs: tuple[list[Inputs], list[Inputs]]
    standing: Scored

    def training(self) -> tuple[Learner, Published]:
        """The champion's, as it was saved."""
        learner = Learner(self.config, self.spec, torch.device("cpu"))
        published = Published(learner)
        published.restore(self.checkpoint, learner)
        return learner, published

    def served(self) -> Learner:
        """The champion."""
        learner, published = self.training()
        return published.of(learner)

    def after(self, teach: Callable[[pa.Table], pa.Table], seed: int) -> Learner:
        """What is served of a training that goes on from the champion with new samples."""
        learner, published = self.training()
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(self.more.num_rows, TAUGHT, replace=False))
        learn(learner, published, teach(self.more.take(pa.array(chosen)).combine_chunks()))
        return published.of(learner)

    def judge(self, learner: Learner) -> Verdict:
        candidate = scored(learner, 2, self.inputs)
        return decide(CONFIG, self.exam, candidate, self.standing, self.standing)


class Examined(NamedTuple):
    """An exam, and the champion's scores of it."""

    exam: Exam
    standing: Scored

    def loss_of_all(self) -> float:
        """The share of behaviour that is lost where all requests are in random order."""
        newest = scrambled(self, 1.0, np.random.default_rng(0)).newest
        return -behaviour_change(self.exam.newest, newest, self.standing.newest).mean


def scored(learner: Learner, version: int, inputs: tuple[list[Inputs], list[Inputs]]) -> Scored:
    weights = weights_of(learner.state).items()
    served = {name: tensor for name, tensor in weights if not name.startswith(TRAINING_ONLY)}
    return Scored(version, *(scores(learner, parts) for parts in inputs), weight_facts(served))


@torch.inference_mode()
def scores(learner: Learner, parts: list[Inputs]) -> np.ndarray:
    """y-hat, as it would be served."""
    ranker, tables = learner.state.ranker, learner.state.tables
    return np.concatenate([ranker.serve(tables.tokens(x), x.slots).numpy() for x in parts])


def learn(learner: Learner, published: Published, rows: pa.Table) -> None:
    for start in range(0, rows.num_rows, WINDOW):
        part = rows.slice(start, WINDOW)
        window = Window(
            index=learner.next_window, day="", file="", start=start, end=start + part.num_rows
        )
        learner.learn(share_of(part, window, 1, 0, 1))
        published.follow(learner)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained(tmp_path_factory, *FIRST_WORLD)


@pytest.fixture(scope="module")
def exams(tmp_path_factory: pytest.TempPathFactory) -> list[Examined]:
    """A champion on one exam after another: the gate judges each candidate on new windows."""
    champion = trained(tmp_path_factory, *FIRST_WORLD, more=EXAMS * EXAMINED)
    return [examined(champion, start) for start in range(0, champion.more.num_rows, EXAMINED)]


def examined(champion: Trained, start: int) -> Examined:
    rows = champion.more.slice(start, EXAMINED)
    inputs = encoded(champion.spec, rows), champion.inputs[1]
    exam = Exam(flatten(rows), champion.exam.answers)
    return Examined(exam, scored(champion.served(), 1, inputs))


def trained(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    world: WorldConfig,
    learnt: int = YOUNG,
    more: int = MORE,
) -> Trained:
    """A champion of a simulated world, and samples after it."""
    simulation = SimulationConfig(
        seed=seed,
        world=world,
        traffic=TrafficConfig(requests=learnt + more + EXAMINED),
        questionnaire="accelerated",
    )
    history = write_simulation(tmp_path_factory.mktemp("world") / "h", simulation)
    samples = pa.concat_tables(history.read(w) for w in history.windows()).combine_chunks()
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 32, "heads": 2},
        "optim": {"batch": BATCH, "learning_rate": 3e-4},
        "published": {"average_steps": AVERAGE_STEPS},
    }
    config = parse_config(tree, "test")
    spec = history.description.features
    learner = Learner(config, spec, torch.device("cpu"))
    published = Published(learner)
    learn(learner, published, samples.slice(0, learnt))
    write_checkpoint(checkpoint := tmp_path_factory.mktemp("c"), published.contents(learner))
    newest, answered = samples.slice(learnt + more), last_answered(samples, 500)
    exam = Exam(flatten(newest), flatten(answered))
    inputs = encoded(spec, newest), encoded(spec, answered)
    standing = scored(published.of(learner), 1, inputs)
    return Trained(checkpoint, config, spec, samples.slice(learnt, more), exam, inputs, standing)


def encoded(spec: FeatureSpec, samples: pa.Table) -> list[Inputs]:
    starts = range(0, samples.num_rows, WINDOW)
    return [encode(spec, flatten(samples.slice(s, WINDOW)).columns) for s in starts]


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
    rows = learner.state.tables.weight[64]
    rows[np.random.default_rng(seed).choice(len(rows), 3, replace=False)] = float("nan")
    return learner


def exploded(learner: Learner, seed: int) -> Learner:
    """Some embedding rows, or a layer, that are many times as long."""
    rng = np.random.default_rng(seed)
    factor = 10.0 ** rng.uniform(1.5, 6)
    with torch.no_grad():
        if seed % 2:
            rows = learner.state.tables.weight[64]
            rows[rng.choice(len(rows), 20, replace=False)] *= factor
        else:
            for parameter in learner.state.ranker.main.parameters():
                parameter *= factor
    return learner


def bad_versions(champion: Trained, number: int) -> Iterator[tuple[str, Learner]]:
    for seed in range(number):
        yield "shuffled labels", champion.after(shuffled(seed), seed)
        yield "flipped answers", champion.after(flipped, seed)
        yield "NaN rows", with_nan_rows(champion.served(), seed)
        yield "exploded norms", exploded(champion.served(), seed)


def good_versions(champion: Trained, number: int) -> Iterator[tuple[str, Learner]]:
    for seed in range(number):
        yield "honest", champion.after(honest, 100 + seed)


def judged(champion: Trained, kind: str, learner: Learner) -> Verdict:
    verdict = champion.judge(learner)
    print(f"{kind}: {verdict.outcome}: {verdict.reason}")
    print("   ", {name: round(value, 4) for name, value in verdict.figures.items()})
    return verdict


def check(champion: Trained, bad: int, good: int) -> None:
    blocked = [judged(champion, *v).outcome == "blocked" for v in bad_versions(champion, bad)]
    passed = [judged(champion, *v).outcome == "passed" for v in good_versions(champion, good)]
    print(f"blocked {sum(blocked)} of {len(blocked)} bad, {good - sum(passed)} of {good} good")
    assert all(blocked)
    assert sum(passed) >= good - good / 20


CONFIG = GateConfig()


def test_bad_versions_are_blocked_and_good_ones_pass(champion):
    check(champion, bad=1, good=2)


WORLDS = {
    "first": FIRST_WORLD,
    "another seed": (11, WorldConfig(users=400, items=400)),
    "many users, few items": (12, WorldConfig(users=1000, items=150)),
    "few users, many items": (13, WorldConfig(users=150, items=1500)),
    "more chance": (14, WorldConfig(users=400, items=400, chance=0.8)),
    "less clickbait": (15, WorldConfig(users=400, items=400, clickbait=1.2)),
}
"""The gate's margins were chosen in the first; the others had no say."""
MISSED = "another seed"


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.xfail(name == MISSED, reason="2 of 20 blocked: DECISIONS.md, 91"),
        )
        for name in WORLDS
    ],
)
def test_twenty_bad_and_twenty_good_versions(name, tmp_path_factory):
    check(trained(tmp_path_factory, *WORLDS[name], learnt=SETTLED), bad=5, good=20)


def test_without_enough_answers_behaviour_and_the_anchor_decide(champion):
    config, same = GateConfig(min_answers=100_000), champion.standing
    verdict = decide(config, champion.exam, same, same, same)
    assert verdict.outcome == "not_enough_evidence"
    assert verdict.promotes
    worse = scrambled(champion, 1.0, np.random.default_rng(0))
    verdict = decide(config, champion.exam, worse, same, same)
    assert verdict.outcome == "blocked"
    assert not verdict.promotes


def test_one_score_that_is_no_number_blocks(champion):
    newest = champion.standing.newest.copy()
    newest[-1] = np.nan
    spoilt = champion.standing._replace(newest=newest)
    verdict = decide(CONFIG, champion.exam, spoilt, champion.standing, champion.standing)
    assert verdict.outcome == "blocked"
    assert verdict.reason == "it gives scores that are not finite"


def scrambled(on: Trained | Examined, share: float, rng: np.random.Generator) -> Scored:
    """The champion, but a share of the requests in random order."""
    request = on.exam.newest.request
    lost = rng.random(request[-1] + 1) < share
    newest = np.where(lost[request], rng.normal(size=len(request)), on.standing.newest)
    return on.standing._replace(newest=newest)


def lost_when_stopped(exams: list[Examined], loss: float, seed: int) -> float:
    """A chain of versions that each lose 0.2 %: the true loss of the last one that passed."""
    rng = np.random.default_rng(seed)
    for step, at in enumerate(rng.permutation(len(exams))):
        on = exams[at]
        live, candidate = (scrambled(on, s * 0.002 / loss, rng) for s in (step, step + 1))
        if not decide(CONFIG, on.exam, candidate, live, on.standing).promotes:
            return step * 0.002
    return 1.0


def test_a_chain_of_small_losses_is_stopped_before_one_per_cent_is_lost(exams):
    loss = float(np.mean([on.loss_of_all() for on in exams]))
    losses = [lost_when_stopped(exams, loss, seed) for seed in range(4)]
    print("lost when stopped:", losses)
    assert max(losses) < 0.01
    assert max(losses) > 0  # a single loss of 0.2 % is no reason


@pytest.mark.soak
def test_forty_such_chains(exams):
    loss = float(np.mean([on.loss_of_all() for on in exams]))
    losses = np.array([lost_when_stopped(exams, loss, 100 + seed) for seed in range(40)])
    print("lost when stopped:", dict(zip(*np.unique(losses, return_counts=True), strict=True)))
    assert (losses < 0.01).all()
