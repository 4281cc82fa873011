"""Days are written one by one, in any order, with the bytes of a simulation in one piece."""

import pyarrow as pa
import pytest

from easq.history import History, sha256_of
from easq.history_folder import building
from easq.history_write import WrittenDay, write_history
from easq.simulate.chunks import chunks, draw
from easq.simulate.columns import feature_spec, sample_table
from easq.simulate.generate import write_independent, write_simulation
from easq.simulate.simulation import SimulationConfig, draw_surroundings
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth, truth_table
from easq.simulate.visits import VisitConfig
from easq.simulate.world import WorldConfig

VISITED = SimulationConfig(
    world=WorldConfig(users=40, items=80, authors=10),
    traffic=TrafficConfig(days=3),
    visits=VisitConfig(),
)


def in_one_piece(config: SimulationConfig) -> tuple[pa.Table, pa.Table]:
    """Samples and truth of all chunks, as they come."""
    world, upstream = draw_surroundings(config)
    samples, truth, first = [], [], 0
    for requests, outcome in chunks(config, world, upstream):
        samples.append(sample_table(config, world, requests, outcome, first))
        truth.append(truth_table(config.traffic, requests, outcome, first))
        first += len(requests.user)
    return pa.concat_tables(samples), pa.concat_tables(truth)


@pytest.mark.parametrize("visits", [False, True])
def test_days_have_the_bytes_of_a_simulation_in_one_piece(tmp_path, history, config, visits):
    if visits:
        config, history = VISITED, write_simulation(tmp_path / "days", VISITED)
    samples, truth = in_one_piece(config)
    sources = list(history.description.sources)
    whole = write_history(tmp_path / "one", "simulated", feature_spec(config), samples, sources)
    assert history.description == whole.description
    history.verify()
    order = [("request_time_ms", "ascending"), ("request_id", "ascending")]
    assert read_truth(history).equals(truth.sort_by(order))


def test_a_day_alone_is_the_same_day(tmp_path, history, config):
    drawn = draw(config, *draw_surroundings(config))
    with building(tmp_path / "h") as folder:
        alone: list[WrittenDay] = []
        for day in (2, 0, 1):
            alone += write_independent(folder, drawn, range(day, day + 1))
        for written in alone:
            truth = f"truth/day={written.day.day}/part-0.parquet"
            assert sha256_of(folder / truth) == sha256_of(history.root / truth)
    assert tuple(alone[i].day for i in (1, 2, 0)) == history.description.days


def test_progress_counts_every_request_once(tmp_path, config):
    done: list[int] = []
    write_simulation(tmp_path / "h", config, done.append)
    assert sum(done) == config.traffic.requests


def test_a_simulation_that_fails_leaves_the_older_one(tmp_path):
    config = SimulationConfig(traffic=TrafficConfig(requests=40, days=2))
    write_simulation(tmp_path / "h", config)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulation(tmp_path / "h", config, stop)
    assert [path.name for path in tmp_path.iterdir()] == ["h"]
    History.open(tmp_path / "h").verify()
