"""Simulated users live with model lines; what is counted is what they did."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.experiment.assignment import Arm, Experiment
from easq.experiment.by_scenario import ALL, SCOPES
from easq.experiment.crowd import OPENING_SECONDS, SWIPE_SECONDS, Crowd, Served
from easq.experiment.days_before import days_before
from easq.experiment.false_positives import false_positives
from easq.experiment.in_process import LinesInProcess, columns_of, scores
from easq.experiment.lived import Lived
from easq.experiment.table2 import compare
from easq.simulate.columns import feature_spec
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import Scene, SimulationConfig, draw_scene, draw_surroundings
from easq.simulate.traffic import Requests, TrafficConfig
from easq.simulate.upstream import places
from easq.simulate.visits import VisitConfig
from easq.simulate.world import WorldConfig
from easq.train.config import parse_config
from easq.train.learner import Learner

USERS = 300
USER_AND_VIEWS = ["user_id", "watched_seconds"]
CONFIG = SimulationConfig(
    seed=5,
    world=WorldConfig(users=USERS, items=300, authors=30),
    traffic=TrafficConfig(requests=256, days=2),
)


class ByTruth:
    """Ranks by the hidden z times a sign of each user: +1 for the best, -1 for the worst."""

    def __init__(self, sign: np.ndarray) -> None:
        self.sign = sign
        self.told = 0

    def rank(self, requests: Requests, scene: Scene) -> Served:
        value = self.sign[scene.viewing.user] * scene.viewing.satisfaction
        asked = np.arange(len(value)) % 2 == 0
        return Served(places(value, scene.candidates.request), asked)

    def tell(self, requests: Requests, _: object) -> None:
        self.told += len(requests.user)


def lived(service: ByTruth, days: int, config: SimulationConfig = CONFIG) -> Crowd:
    crowd = Crowd(config, VisitConfig(usual=0.27), service)
    for _ in crowd.live(days):
        pass
    return crowd


def test_sums_are_what_was_told():
    service = ByTruth(np.zeros(USERS))
    sums = lived(service, days=2).sums[ALL]
    assert sums.views.sum() == 8 * service.told
    assert ((sums.views > 0) == (sums.active_days > 0)).all()
    assert sums.active_days.max() == 2
    assert (sums.satisfied + sums.dissatisfied <= sums.answers).all()
    assert (sums.answers <= sums.questions).all()
    opening = OPENING_SECONDS * sums.views / 8
    assert sums.stay_seconds == pytest.approx(
        sums.watched_seconds + opening + SWIPE_SECONDS * sums.views
    )


def test_whoever_is_shown_what_satisfies_answers_so_and_comes_back():
    experiment = Experiment(
        name="e", salt="s", arms=(Arm(name="worst", share=0.5), Arm(name="best", share=0.5))
    )
    arm = experiment.arms_of(np.arange(USERS))
    sums = lived(ByTruth(np.where(arm == 1, 1.0, -1.0)), days=7).sums[ALL]
    found = compare(sums, arm, experiment, "best", "worst").differences
    assert found["Q-rate"].low > 0
    assert found["Q-Dissatisfied"].high < 0
    assert found["LT7"].low > 0


def test_the_days_before_are_those_that_are_learnt(tmp_path):
    """The same requests and outcomes as the history that a training learns first."""
    history = write_simulation(tmp_path / "history", CONFIG)
    sums = days_before(CONFIG, *draw_surroundings(CONFIG)).sums[ALL]
    requests = pa.concat_tables([history.read(w).select(USER_AND_VIEWS) for w in history.windows()])
    user = requests.column("user_id").to_numpy()
    assert (sums.views == 8 * np.bincount(user, minlength=USERS)).all()
    seconds = [sum(s or 0 for s in row) for row in requests.column("watched_seconds").to_pylist()]
    assert sums.watched_seconds == pytest.approx(np.bincount(user, seconds, USERS), rel=1e-5)
    assert ((sums.active_days > 0) == (sums.views > 0)).all()
    assert sums.active_days.max() == 2


def test_what_users_did_is_read_as_it_was_written(tmp_path):
    before, during = (lived(ByTruth(np.zeros(USERS)), days).sums for days in (1, 2))
    Lived(before, during).write(tmp_path / "lived.npz")
    read = Lived.read(tmp_path / "lived.npz")
    for name in SCOPES:
        np.testing.assert_array_equal(np.stack(read.before[name]), np.stack(before[name]))
        np.testing.assert_array_equal(read.during[name].views, during[name].views)


@pytest.mark.parametrize("when", ["before", "during"])
def test_scenarios_add_up_to_what_users_did_in_all(when):
    if when == "before":
        sums = days_before(CONFIG, *draw_surroundings(CONFIG)).sums
    else:
        sums = lived(ByTruth(np.zeros(USERS)), days=2).sums
    both = sums["main"].plus(sums["explore"])
    for name, values in sums[ALL]._replace(active_days=both.active_days)._asdict().items():
        assert getattr(both, name) == pytest.approx(values), name
    days = [sums[name].active_days for name in SCOPES]
    assert (days[0] >= np.maximum(days[1], days[2])).all()
    assert (days[0] <= days[1] + days[2]).all()
    assert sums["explore"].views.sum() / sums[ALL].views.sum() == pytest.approx(0.3, abs=0.05)


def test_the_past_of_users_narrows_the_intervals_of_what_they_watch():
    experiment = Experiment(
        name="e", salt="s", arms=(Arm(name="a", share=0.5), Arm(name="b", share=0.5))
    )
    more = CONFIG.model_copy(update={"traffic": TrafficConfig(requests=3_000, days=2)})
    before = days_before(more, *draw_surroundings(more)).sums[ALL]
    sums = lived(ByTruth(np.zeros(USERS)), days=3).sums[ALL]
    found = compare(sums, experiment.arms_of(np.arange(USERS)), experiment, "b", "a", before)
    plain, adjusted = (one["WatchTime"] for one in (found.differences, found.adjusted))
    assert adjusted.error < 0.9 * plain.error
    assert adjusted.low <= 0 <= adjusted.high


def test_an_a_a_test_of_simulated_users_comes_out_empty():
    experiment = Experiment(
        name="e", salt="s", arms=(Arm(name="a", share=0.5), Arm(name="b", share=0.5))
    )
    config = CONFIG.model_copy(update={"world": WorldConfig(users=800, items=300, authors=30)})
    sums = lived(ByTruth(np.ones(800)), days=7, config=config).sums[ALL]
    found = false_positives(sums, np.arange(800), experiment, salts=20)
    assert found.is_empty, found


def learner(method: str) -> Learner:
    tree = {"run": {"name": method, "storage": "-"}, "data": {"history": "-"}}
    config = parse_config(
        tree | {"model": {"method": method, "width": 16, "heads": 2}, "optim": {"batch": 64}},
        "test",
    )
    return Learner(config, feature_spec(CONFIG), torch.device("cpu"))


@pytest.fixture(scope="module")
def begun() -> LinesInProcess:
    """Two lines that have learnt the days before the test; odd users have the second."""
    lines = LinesInProcess(CONFIG, [learner("emer"), learner("easq")], np.arange(USERS) % 2, 128)
    lines.begin()
    return lines


def scene_of(requests: Requests) -> Scene:
    world, upstream = draw_surroundings(CONFIG)
    return draw_scene(CONFIG, world, upstream, requests, np.random.default_rng(1))


def test_every_user_is_ranked_for_by_the_line_of_the_arm(begun):
    requests = Requests(np.array([4, 7, 8]), np.zeros(3, bool), np.full(3, 2 * 86_400_000))
    scene = scene_of(requests)
    columns = columns_of(CONFIG, begun.world, requests, scene)
    request = scene.candidates.request
    emer, easq = (places(scores(line, columns), request) for line in begun.lines)
    assert (emer != easq).any()
    expected = np.where(requests.user[request] % 2 == 1, easq, emer)
    assert (begun.rank(requests, scene).place == expected).all()


def test_both_lines_learn_from_everybody(begun):
    before = [line.position.requests for line in begun.lines]
    crowd = Crowd(CONFIG, VisitConfig(usual=0.27), begun)
    assert list(crowd.live(1)) == [1]
    after = [line.position.requests for line in begun.lines]
    assert after[0] == after[1]
    pages = crowd.sums[ALL].views.sum() / 8
    assert 0 <= pages - (after[0] - before[0]) < begun.window  # the last window is not full
