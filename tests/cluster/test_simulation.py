"""A simulation on Ray has the bytes of one in this process."""

import pytest

from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth
from jobs.simulate_days import beside_each_other

pytestmark = [pytest.mark.ray, pytest.mark.soak, pytest.mark.timeout(300)]


def test_days_beside_each_other_have_the_bytes_of_days_in_turn(tmp_path):
    config = SimulationConfig(traffic=TrafficConfig(requests=5000, days=4))
    done: list[int] = []
    beside = write_simulation(tmp_path / "beside", config, done.append, beside_each_other)
    beside.verify()
    in_turn = write_simulation(tmp_path / "in turn", config)
    assert beside.description == in_turn.description
    assert read_truth(beside).equals(read_truth(in_turn))
    assert sum(done) == 5000
