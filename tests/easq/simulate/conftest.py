"""One small simulated history, shared by the tests of this folder."""

import pyarrow as pa
import pytest

from easq.samples import flatten
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth


@pytest.fixture(scope="session")
def config():
    return SimulationConfig(seed=3, traffic=TrafficConfig(requests=6000, days=3))


@pytest.fixture(scope="session")
def history(config, tmp_path_factory):
    return write_simulation(tmp_path_factory.mktemp("simulated") / "history", config)


@pytest.fixture(scope="session")
def samples(history):
    return pa.concat_tables(history.read(window) for window in history.windows())


@pytest.fixture(scope="session")
def flat(samples, history):
    return flatten(samples)


@pytest.fixture(scope="session")
def truth(history):
    return read_truth(history)


@pytest.fixture(scope="session")
def z(truth):
    return truth.column("satisfaction").combine_chunks().flatten().to_numpy()
