"""A ranker's scores are kept under all that decides them, and not trained again."""

from pathlib import Path

import numpy as np
import pytest

from easq.history import History
from easq.peers.rankers import key
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.study.methods import GAMMA, Method
from jobs.peers_trainings import rankings, train_rankers

BLEND = {"blend": Method("blend", {"model.method": "easq", "loss.alignment": 0.0}, GAMMA, (0, 2))}
EMER = Method("EMER", {"model.method": "emer"})


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    traffic = TrafficConfig(requests=300, days=3)
    config = SimulationConfig(seed=0, traffic=traffic, questionnaire="accelerated")
    return write_simulation(Path(tmp_path_factory.mktemp("world")) / "h", config)


def test_a_finished_training_is_kept_and_another_start_goes_on(history, tmp_path):
    first = train_rankers(history, BLEND, tmp_path, seeds=2)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2  # a point of the blend needs no training of its own
    np.save(files[0], np.load(files[0]) + 1)
    files[1].unlink()
    again = train_rankers(history, BLEND, tmp_path, seeds=2)
    kept, trained = (again["blend"][0][seed] - first["blend"][0][seed] for seed in range(2))
    np.testing.assert_array_equal(trained, 0)
    np.testing.assert_allclose(kept, 1, atol=1e-5)


def test_a_blend_ranks_by_both_pathways(history, tmp_path):
    trained = train_rankers(history, BLEND, tmp_path, seeds=1)
    (none,), (two,) = rankings(trained, BLEND)["blend"]
    main, satisfaction = trained["blend"][0][0]
    np.testing.assert_array_equal(none, main)
    np.testing.assert_allclose(two, main + 2 * satisfaction, rtol=1e-6)


def test_a_key_names_seed_and_settings(history):
    [emer], [blend, _] = EMER.points(), BLEND["blend"].points()
    keys = {key(history, emer, 0), key(history, emer, 1), key(history, blend, 0)}
    assert len(keys) == 3
