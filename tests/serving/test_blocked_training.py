"""A training that was taught nonsense: its deltas are served until a version of it is judged."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from easq.events import BEHAVIOURS
from easq.gate import GateConfig
from easq.log.interface import MODELS, SAMPLES
from easq.registry import CANDIDATE, Version, champion, fetch, publish
from easq.registry_aliases import numbered, tags_of
from easq.rollout import RolloutConfig
from easq.samples import flatten
from easq.simulate.columns import lists
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.state_digest import ServedWeights, StateDigest
from easq.train.share import cut
from jobs.gatekeeper import REASON, VERDICT, Gatekeeper, GatekeeperConfig
from serving.deltas import DeltaFollower
from serving.refresh import Refresher
from serving.rollout import FollowedRollout, RolloutWatcher

NAME = "easq-ranker"
WINDOW, TAUGHT, EXAM = 100, 20, 10
"""Requests a window; windows that a version learns, and those of an exam."""
GATE = GateConfig(min_requests=EXAM * WINDOW, max_requests=EXAM * WINDOW, behaviour_margin=0.02)
"""A wide margin, for an exam of few requests."""


class Place(NamedTuple):
    """A trainer, a registry, a gate and a replica; nothing runs until it is asked to."""

    run: object
    uri: str
    keeper: Gatekeeper
    watcher: RolloutWatcher
    refresher: Refresher

    def candidate(self) -> Version:
        number = self.run.learner.next_window
        return publish(self.uri, NAME, self.run.save(f"v{number}")[0], alias=CANDIDATE)

    def serve(self) -> tuple[int, int]:
        """What the replica serves once it has looked around."""
        self.watcher.look()
        self.refresher.look()
        self.refresher.deltas.look()
        name = self.refresher.live.name
        return name.version, name.seq


@pytest.fixture
def place(run_of, mlflow_uri: str, tmp_path: Path) -> Place:
    simulation = SimulationConfig(
        seed=3,
        world=WorldConfig(users=150, items=150),
        traffic=TrafficConfig(requests=(2 * TAUGHT + 1 + EXAM) * WINDOW, days=1),
        questionnaire="accelerated",
    )
    run = run_of(write_simulation(tmp_path / "history", simulation), WINDOW)
    rollout = FollowedRollout(
        lambda: 0, lambda: champion(mlflow_uri, NAME), lambda n: numbered(mlflow_uri, NAME, n)
    )
    follower = DeltaFollower(run.log, lambda write: write(), lambda: rollout.stopped)
    fetched = lambda version: fetch(mlflow_uri, version, tmp_path / "replica")  # noqa: E731
    refresher = Refresher(rollout.target, fetched, lambda: None, 60.0, follower)
    watcher = RolloutWatcher(run.log, rollout, refresher.wake, seconds=60.0)
    config = GatekeeperConfig(gate=GATE, rollout=RolloutConfig(waves=()))
    keeper = Gatekeeper(run.log, mlflow_uri, NAME, tmp_path / "gate", config)
    return Place(run, mlflow_uri, keeper, watcher, refresher)


def test_what_was_taught_shuffled_labels_is_blocked_and_taken_off_every_replica(place, seal_window):
    learn(place, TAUGHT)
    place.candidate()
    for _ in range(2):
        place.keeper.look()
    published = place.run.digest()
    learn(place, TAUGHT, shuffle=True)
    version, seq = place.serve()
    assert (version, seq >= 0) == (1, True), "nobody has judged it yet"
    bad = place.candidate()
    place.keeper.look()
    examine(place, seal_window)
    place.keeper.look()
    tags = tags_of(place.uri, bad)
    assert tags[VERDICT] == "blocked", tags
    assert "behaviour against the champion changed by -" in tags[REASON]
    learn(place, 1)
    assert place.serve() == (1, -1)
    report = place.refresher.live.report(100), place.refresher.delta_report
    assert report[0].window == TAUGHT
    assert served_digest(place) == published
    assert report[1].stopped == f"version 2 is blocked: {tags[REASON]}"


def test_what_was_taught_the_same_in_good_order_passes_and_the_lane_goes_on(place, seal_window):
    learn(place, TAUGHT)
    place.candidate()
    for _ in range(2):
        place.keeper.look()
    learn(place, TAUGHT)
    good = place.candidate()
    place.keeper.look()
    examine(place, seal_window)
    place.keeper.look()
    assert tags_of(place.uri, good)[VERDICT] != "blocked"
    learn(place, 1)
    assert place.serve() == (2, place.run.log.end(MODELS, 0) - 1)
    assert served_digest(place) == place.run.digest()
    assert place.refresher.delta_report.stopped is None


def learn(place: Place, windows: int, shuffle: bool = False) -> None:
    run = place.run
    for at in range(run.learner.next_window, run.learner.next_window + windows):
        if shuffle:
            _, number, day = (share := run.shares[at])[:3]
            run.shares[at] = cut(shuffled(share.rows), at, number, day, 0, 1)
        run.learn()


def examine(place: Place, seal_window) -> None:
    """Append windows that nobody has learnt."""
    for share in place.run.shares[-EXAM:]:
        place.run.log.append(SAMPLES, 0, seal_window(share.rows, share.window, 0), durable=False)


def served_digest(place: Place) -> str:
    return StateDigest(ServedWeights.of(place.refresher.live.ranker.weights())).digest


def shuffled(rows: pa.Table) -> pa.Table:
    """What viewers did and said is dealt anew among all that was exposed."""
    shown = np.flatnonzero(flatten(rows).exposed)
    dealt = np.random.default_rng(0).permutation(shown)
    lengths = rows.column("item_id").combine_chunks().value_lengths().to_numpy()
    for name in ("answer", *(f"behaviour.{behaviour}" for behaviour in BEHAVIOURS)):
        index = rows.schema.get_field_index(name)
        values = rows.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False).copy()
        values[shown] = values[dealt]
        field = rows.schema.field(index)
        rows = rows.set_column(index, field, lists(values, lengths, field.type.value_type))
    return rows
