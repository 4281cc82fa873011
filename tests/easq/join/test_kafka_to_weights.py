"""Kafka between all of them, two partitions: events, samples, weights, and a replica's weights."""

import json
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch

from easq.delta_chain import Chain
from easq.history import History
from easq.join_log import JoinedPartition
from easq.log.connect import open_log
from easq.log.interface import EVENTS, MODELS, SAMPLES, Log
from easq.state_digest import ServedWeights, StateDigest
from easq.train.checkpoint import weights_of
from easq.train.config import TrainConfig, parse_config
from easq.train.run_folder import claim, run_folder
from easq.train.share import WindowShare, unpack
from easq.train.tail import Stretch, read_pass
from easq.train.work import Work
from serving.announced import AnnouncedDeltas

from ..log.mock_kafka import MockKafka

PARTITIONS, HISTORY_WINDOWS = 2, 2


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    brokers = MockKafka()
    for topic, width in ((EVENTS, PARTITIONS), (SAMPLES, PARTITIONS), (MODELS, 1)):
        brokers.make_topic(f"easq.{topic}", width)
    settings = tmp_path / "kafka.json"
    settings.write_text(json.dumps({"consumer": {"fetch.wait.max.ms": 10}}))
    yield f"kafka://{brokers.servers}?config={settings}"
    brokers.close()


@pytest.fixture
def config(make_history, tmp_path: Path, address: str) -> TrainConfig:
    tree: dict[str, Any] = {
        "run": {"name": "run", "storage": str(tmp_path)},
        "data": {"history": str(make_history(40).root), "window": 20},
        "model": {"width": 16, "heads": 2},
        "published": {"average_steps": 8},
        "stream": {"log": address},
    }
    return parse_config(tree, "test")


def test_the_deltas_of_what_was_joined_and_learnt_lead_a_replica_to_the_trainers_weights(
    config, address, spec, random_events, quick
):
    log = open_log(address)
    join_all(log, [random_events(spec, p, 150) for p in range(PARTITIONS)], quick)
    history = History.open(config.data.history)
    trainer = Work(claim(config, history.description), torch.device("cpu"), lambda _: None)
    shares = arriving(config)
    trainer.learn_pass(iter(shares[:HISTORY_WINDOWS]))
    replica = ServedWeights.of({n: w.clone() for n, w in weights(trainer).items()})
    trainer.learn_pass(iter(shares[HISTORY_WINDOWS:]))
    learnt = trainer.learner.position.offsets
    assert all(learnt[p] > log.end(SAMPLES, p) / 2 for p in range(PARTITIONS))
    chain = Chain(replica, StateDigest(replica), HISTORY_WINDOWS, spec.schema_hash, "run")
    deltas = AnnouncedDeltas(log)
    for seq, head, payload in deltas.read():
        assert not isinstance(head, ValueError)
        step = chain.step(seq, head, payload, deltas.lineage)
        assert step is not None
        chain.take(step)
    assert chain.place.seq == log.end(MODELS, 0) - 1 > 10
    assert chain.place.digest == StateDigest(ServedWeights.of(weights(trainer))).digest
    assert trainer.announcer is not None
    for one in (log, trainer.announcer.log):
        one.close()


def join_all(log: Log, scripts: list, quick: Any) -> None:
    """Both partitions to the end of their events."""
    for p, script in enumerate(scripts):
        log.append(EVENTS, p, script.table())
        joined = JoinedPartition(log, p, quick)
        while joined.step():
            pass


def arriving(config: TrainConfig) -> list[WindowShare]:
    """The history's windows, and those of the log that are known to be next."""
    assert config.stream is not None
    stretch = Stretch(config.data.history, 20, config.stream, run_folder(config))
    shares = takewhile(lambda share: share is not None, map(unpack, read_pass(stretch, 0, 1)))
    return [share for share in shares if share is not None]


def weights(trainer: Work) -> dict[str, torch.Tensor]:
    return weights_of(trainer.published.of(trainer.learner).state)
