"""Viewers who leave and come back by how satisfied they truly were."""

import numpy as np
import pytest

from easq.events import Answer
from easq.samples import flatten
from easq.simulate.generate import write_simulation
from easq.simulate.returning import ReturnConfig, after, come, settled
from easq.simulate.sessions import SessionConfig, worn
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import Requests, TrafficConfig
from easq.simulate.truth import read_truth
from easq.simulate.visits import Page, VisitConfig, live
from easq.simulate.world import WorldConfig, draw_world

DAYS = 14


@pytest.fixture(scope="module")
def world():
    return draw_world(WorldConfig(users=2_000), np.random.default_rng(1))


def lived(world, satisfaction: float, seconds: float = 60.0):
    """Days of viewers for whom every page is alike."""

    def serve(requests: Requests) -> Page:
        ones = np.ones(len(requests.user))
        return Page(satisfaction * ones, seconds * ones, 8 * ones.astype(np.int64))

    return list(live(VisitConfig(), world, DAYS, 0.3, serve, seed=5))


def active(days) -> np.ndarray:
    return np.array([day.came.mean() for day in days])


def test_viewers_in_a_neutral_mood_return_after_the_gaps_of_the_logs():
    config, rng = ReturnConfig(), np.random.default_rng(0)
    viewers = settled(config, 20_000, rng)._replace(days_away=np.ones(20_000, np.int64))
    gap = np.zeros(20_000, np.int64)
    for day in range(1, 30):
        came = come(config, viewers, rng)
        gap[(gap == 0) & came] = day
        viewers = after(config, viewers, np.full(20_000, np.nan))
    shares = [(gap == n).mean() for n in range(1, 8)]
    np.testing.assert_allclose(
        shares, [0.617, 0.165, 0.079, 0.047, 0.031, 0.021, 0.014], atol=0.012
    )
    assert (gap <= 7).mean() == pytest.approx(0.975, abs=0.005)


def test_the_first_day_is_like_any_other(world):
    shares = active(lived(world, VisitConfig().usual))
    assert np.ptp(shares) < 0.08  # 2,000 viewers: 2 s.e. of a day are .022
    assert shares[:3].mean() == pytest.approx(shares[-3:].mean(), abs=0.03)


def test_satisfaction_lengthens_the_visit_at_once_and_brings_viewers_back_later(world):
    low, high = lived(world, -0.2), lived(world, 0.8)
    np.testing.assert_array_equal(low[0].came, high[0].came)
    assert high[0].pages.sum() > 1.1 * low[0].pages.sum()
    gain = active(high) - active(low)
    assert gain[-4:].mean() > 0.1
    assert gain[-4:].mean() > gain[1:3].mean() + 0.03


def test_watch_time_alone_brings_nobody_back(world):
    short, long = lived(world, 0.3, seconds=30.0), lived(world, 0.3, seconds=90.0)
    for a, b in zip(short, long, strict=True):
        np.testing.assert_array_equal(a.came, b.came)
        np.testing.assert_array_equal(a.pages, b.pages)
    assert sum(d.watched_seconds.sum() for d in long) == pytest.approx(
        3 * sum(d.watched_seconds.sum() for d in short)
    )


def test_absent_viewers_keep_their_mood_and_visitors_move_towards_the_day():
    config = ReturnConfig(memory=0.7)
    viewers = settled(config, 3, np.random.default_rng(0))._replace(mood=np.array([0.5, 0.5, 0.0]))
    next_morning = after(config, viewers, np.array([np.nan, 0.5, 1.0]))
    np.testing.assert_allclose(next_morning.mood, [0.5, 0.5, 0.3])
    np.testing.assert_array_equal(next_morning.days_away[1:], [1, 1])
    assert next_morning.days_away[0] == viewers.days_away[0] + 1


def test_a_page_wears_patience_down_whatever_it_holds():
    left = worn(SessionConfig(wear=0.5), np.full(3, 5.0), np.array([-9.0, 0.0, 9.0]))
    np.testing.assert_allclose(left, [3.0, 4.0, 4.8])


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    config = SimulationConfig(
        seed=3,
        world=WorldConfig(users=150),
        traffic=TrafficConfig(days=4),
        questionnaire="census",
        visits=VisitConfig(),
    )
    return write_simulation(tmp_path_factory.mktemp("visited") / "history", config)


def test_a_history_of_visits_holds_the_pages_of_each_day_in_time_order(history):
    assert len(history.description.days) == 4
    for window in history.windows():
        flat = flatten(history.read(window))
        assert (np.diff(flat.columns.time_ms) >= 0).all()
        user, pages = np.unique(flat.user_id, return_counts=True)
        assert 40 < len(user) < 110  # of 150 viewers
        assert pages.max() > 10


def test_in_a_census_every_view_is_answered_and_the_answers_tell_the_truth(history):
    flat = flatten(history.read(history.windows()[0]))
    truth = read_truth(history).slice(0, len(flat.user_id))
    z = truth.column("satisfaction").combine_chunks().flatten().to_numpy()
    np.testing.assert_array_equal(flat.answer != Answer.NONE, flat.exposed)
    assert z[flat.answer == Answer.SATISFIED].min() > z[flat.answer == Answer.DISSATISFIED].max()
