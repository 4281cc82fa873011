"""A trial is a function of what its key names, sees no future, and is never run twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from easq.history import History
from easq.model.config import MethodName
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.study.prequential import Judged, prequential
from easq.study.results import history_of
from easq.study.trial import Split, Trial, is_done, read_sums, run_trial
from easq.study.user_sums import ALL, METRICS

from .poison import Poisoned

WORLD = SimulationConfig(
    seed=3,
    world=WorldConfig(users=30, items=60, authors=10),
    traffic=TrafficConfig(requests=320, days=4),
)
SETTINGS = {"model.width": 8, "model.heads": 1, "data.window": 40, "optim.batch": 20}
TRIAL = Trial(
    simulation=WORLD, split=Split(warm_days=1, validation_days=1), seed=0, settings=SETTINGS
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return write_simulation(tmp_path_factory.mktemp("world") / "history", WORLD)


def scores(history: History, poison_from: str, method: str) -> Judged:
    torch.set_num_threads(1)
    own = {"model.method": method, "classic_dpo.warm_up_windows": 1, "saqrec.epochs": 1}
    trial = TRIAL.model_copy(update={"settings": {**SETTINGS, **own, "saqrec.refresh_hours": 6.0}})
    labels = Poisoned(history, poison_from)
    return prequential(trial.config(history.root), labels, ["test"] * 4)


@pytest.mark.parametrize("method", get_args(MethodName))
def test_scores_of_a_day_know_nothing_of_the_labels_after_it(history, method):
    days = history.description.days
    clean, poisoned_later = (scores(history, day, method) for day in ("never", days[2].day))
    requests = days[0].requests + days[1].requests
    first_window = requests + min(40, days[2].requests)
    lengths = clean.samples.column("item_id").combine_chunks().value_lengths().to_numpy()
    known, after = lengths[:requests].sum(), lengths[:first_window].sum()
    for path in ("main", "satisfaction"):
        before, then = getattr(clean, path), getattr(poisoned_later, path)
        if before is None:
            assert then is None
            continue
        np.testing.assert_array_equal(before[:after], then[:after])
        assert known < after
        assert (before[after:] != then[after:]).mean() > 0.9


def test_a_finished_trial_is_not_run_again_and_a_lost_one_comes_out_the_same(tmp_path):
    assert not is_done(TRIAL, tmp_path)
    key = run_trial(TRIAL, tmp_path)
    files = sorted((tmp_path / "trials" / key).iterdir())
    written = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    first = read_sums(TRIAL, tmp_path)
    run_trial(TRIAL, tmp_path)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == written
    (tmp_path / "trials" / key / "result.json").unlink()
    assert not is_done(TRIAL, tmp_path)
    run_trial(TRIAL, tmp_path)
    np.testing.assert_array_equal(read_sums(TRIAL, tmp_path).table, first.table)


def test_only_the_days_after_warming_up_are_judged(tmp_path):
    run_trial(TRIAL, tmp_path)
    days = History.open(tmp_path / "worlds" / TRIAL.world_key).description.days
    sums = read_sums(TRIAL, tmp_path)
    every_request = METRICS.index("truth_top_z")
    judged = [sums.select("served", p, ALL)[every_request, 1].sum() for p in ("validation", "test")]
    assert judged == [days[1].requests, days[2].requests + days[3].requests]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"split": Split(warm_days=2, validation_days=1)},
        {"simulation": WORLD.model_copy(update={"seed": 4})},
        {"settings": {**SETTINGS, "loss.alignment": 3.0}},
        {"settings": {**SETTINGS, "data.window": 41}},
    ],
)
def test_whatever_decides_the_result_is_in_the_key(change):
    assert TRIAL.model_copy(update=change).key != TRIAL.key


def test_settings_that_say_the_same_are_one_trial():
    same = TRIAL.model_copy(update={"settings": {**SETTINGS, "loss.alignment": 2.0}})
    assert same.key == TRIAL.key
    assert Path(TRIAL.key).name.startswith("easq-world3-seed0-")


def test_a_split_without_test_days_is_refused():
    with pytest.raises(ValueError, match="none to test on"):
        Trial(simulation=WORLD, split=Split(warm_days=3, validation_days=1), seed=0, settings={})


def test_of_those_who_ask_for_one_world_the_first_simulates_it(tmp_path):
    simulated: list[Path] = []

    def simulate(root: Path) -> History:
        simulated.append(root)
        return write_simulation(root, WORLD)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: history_of(tmp_path / "w", simulate), range(3)))
    assert simulated == [tmp_path / "w"]
    assert len({history.description.digest for history in found}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
