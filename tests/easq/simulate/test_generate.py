import numpy as np
import pyarrow.parquet as pq
import pytest

from easq.events import Answer
from easq.history import History
from easq.questionnaire import is_eligible
from easq.simulate.answers import Pace
from easq.simulate.chunks import CHUNK_REQUESTS
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path):
    def digest(name: str, seed: int) -> str:
        config = SimulationConfig(seed=seed, traffic=TrafficConfig(requests=300, days=2))
        return write_simulation(tmp_path / name, config).description.digest

    first = digest("a", 1)
    assert digest("b", 1) == first
    assert digest("c", 2) != first


def test_all_days_and_both_scenarios_are_simulated(history, flat):
    assert [day.day for day in history.description.days] == [
        "2025-01-06",
        "2025-01-07",
        "2025-01-08",
    ]
    explore = np.mean([s == "explore" for s in flat.columns.scenario])
    assert 0.27 < explore < 0.33


def test_requests_hold_up_to_24_distinct_candidates_and_show_8(flat):
    lengths = flat.columns.lengths
    assert lengths.max() == 24
    assert lengths.min() <= 12
    keys = flat.request * 10_000 + flat.columns.item["item_id"]
    assert len(np.unique(keys)) == len(keys)
    shown = np.bincount(flat.request, flat.exposed)
    assert (shown == np.minimum(lengths, 8)).all()


def test_nothing_happens_to_candidates_that_were_not_shown(flat):
    hidden = ~flat.exposed
    assert flat.watched_seconds[hidden].max() == 0
    assert not any(done[hidden].any() for done in flat.behaviours.values())
    assert (flat.answer[hidden] == Answer.NONE).all()


@pytest.mark.parametrize(
    ("behaviour", "low", "high"),
    [
        ("effective_view", 0.40, 0.60),
        ("long_view", 0.25, 0.40),
        ("like", 0.012, 0.025),
        ("comment", 0.001, 0.005),
        ("follow", 0.0004, 0.002),
        ("forward", 0.0004, 0.002),
        ("hate", 0.0002, 0.001),
    ],
)
def test_behaviour_is_about_as_frequent_as_in_real_logs(flat, behaviour, low, high):
    assert low < flat.behaviours[behaviour].sum() / flat.exposed.sum() < high


def test_accelerated_questionnaires_are_answered_on_two_to_three_percent_of_views(flat):
    assert 0.02 < (flat.answer != Answer.NONE).sum() / flat.exposed.sum() < 0.03


def test_every_answer_follows_an_eligible_view_and_comes_after_it(flat):
    answered = flat.answer != Answer.NONE
    watched, duration = flat.watched_seconds[answered], flat.duration_seconds[answered]
    assert is_eligible(watched, duration).all()
    asked_at = flat.columns.time_ms[flat.request][answered]
    assert (flat.answer_time_ms[answered] - asked_at + 1 >= 1000 * watched).all()
    assert (flat.answer_time_ms[~answered] == 0).all()


def test_the_truth_lies_beside_the_samples_row_by_row_and_never_in_them(samples, truth, flat):
    assert truth.column("request_id").equals(samples.column("request_id"))
    lengths = truth.column("satisfaction").combine_chunks().value_lengths().to_numpy()
    assert (lengths == flat.columns.lengths).all()
    assert not [n for n in samples.column_names if "satisf" in n or "policy" in n]


def test_no_feature_of_the_samples_repeats_the_truth(flat, z):
    for name, values in flat.columns.item.items():
        assert abs(np.corrcoef(values, z)[0, 1]) < 0.6, name


def test_ids_count_up_with_time_across_chunks(samples, config):
    assert config.traffic.requests > CHUNK_REQUESTS
    ids = samples.column("request_id").to_pylist()
    assert ids == [f"r-{n:09d}" for n in range(config.traffic.requests)]
    assert (np.diff(samples.column("request_time_ms").to_numpy()) >= 0).all()


def test_truth_of_other_samples_is_refused(tmp_path):
    config = SimulationConfig(traffic=TrafficConfig(requests=20, days=1))
    history = write_simulation(tmp_path / "history", config)
    path = history.root / "truth" / "day=2025-01-06" / "part-0.parquet"
    pq.write_table(pq.ParquetFile(path).read().slice(1), path)
    with pytest.raises(ValueError, match="simulate it again"):
        read_truth(History.open(history.root))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="only simulated histories"):
        read_truth(history)


def test_worlds_of_other_questionnaires_share_all_but_the_answers(tmp_path):
    """What a survey of everybody could teach is compared in the same world, view by view."""
    world = SimulationConfig(seed=5, traffic=TrafficConfig(requests=400, days=2))
    paces: tuple[Pace, ...] = ("accelerated", "census")
    usual, census = (
        write_simulation(tmp_path / pace, world.model_copy(update={"questionnaire": pace}))
        for pace in paces
    )
    for day, of_census in zip(usual.windows(), census.windows(), strict=True):
        one, other = usual.read(day), census.read(of_census)
        assert one.schema == other.schema
        differ = {name for name in one.column_names if not one[name].equals(other[name])}
        assert differ == {"answer", "answer_time_ms"}
    assert read_truth(usual).equals(read_truth(census))
    assert usual.description.features == census.description.features
