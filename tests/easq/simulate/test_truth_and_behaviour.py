"""How hidden satisfaction shows, and does not show, in behaviour and answers."""

import numpy as np
import pytest

from easq.events import Answer
from easq.simulate.answers import QUESTIONNAIRES, ask
from easq.simulate.headroom import headroom
from easq.simulate.shuffle import shuffled_answers
from easq.simulate.users import BehaviourConfig, Viewing, behave, probabilities
from easq.simulate.world import (
    WorldConfig,
    draw_satisfaction,
    draw_world,
    expected_satisfaction,
    taste_match,
)


@pytest.fixture(scope="module")
def world():
    return draw_world(WorldConfig(), np.random.default_rng(5))


def one_video(world, clickbait, z, views=40_000):
    """The same average viewer before the same 20 s video, many times."""
    items = world.items._replace(
        clickbait=np.array([clickbait]),
        quality=np.array([0.0]),
        duration_seconds=np.array([20.0], dtype=np.float32),
    )
    zeros = np.zeros(views, dtype=np.int64)
    viewing = Viewing(zeros, zeros, zeros > 0, np.zeros(views), np.full(views, z))
    return world._replace(items=items), viewing


def test_clickbait_lowers_satisfaction_by_its_weight(world):
    clean, viewing = one_video(world, clickbait=0.0, z=0.0, views=1)
    bait, _ = one_video(world, clickbait=1.0, z=0.0, views=1)
    loss = expected_satisfaction(clean, viewing.match, viewing.item) - expected_satisfaction(
        bait, viewing.match, viewing.item
    )
    assert loss == pytest.approx(world.config.clickbait)


def test_clickbait_makes_viewers_stay_and_watch_at_the_same_satisfaction(world):
    rng = np.random.default_rng(0)
    clean, bait = (
        behave(BehaviourConfig(), *one_video(world, clickbait=c, z=0.0), rng) for c in (0.1, 0.9)
    )
    assert (bait.watched_seconds > 3).mean() > (clean.watched_seconds > 3).mean() + 0.1
    assert bait.watched_seconds.mean() > clean.watched_seconds.mean() + 1


def test_disappointment_cuts_watching_short_after_seven_seconds(world):
    def watched(disappointment: float) -> np.ndarray:
        config = BehaviourConfig(disappointment=disappointment)
        bait = one_video(world, clickbait=0.9, z=-1.0)
        return behave(config, *bait, np.random.default_rng(0)).watched_seconds

    patient, disappointed = watched(0.0), watched(0.4)
    early = patient < 7
    np.testing.assert_array_equal(patient[early], disappointed[early])
    late = (patient > 7.1) & (patient < 100)  # 100 s is five replays, where all stop
    assert (disappointed[late] < patient[late]).all()


def test_explore_shows_rarer_videos_which_are_watched_less(flat):
    explore = np.array([s == "explore" for s in flat.columns.scenario])[flat.request]
    shown, item = flat.exposed, flat.columns.item["item_id"]
    popularity = np.bincount(item[~explore])
    ratio = flat.watched_seconds / flat.duration_seconds
    assert (
        popularity[item[shown & explore]].mean() < 0.7 * popularity[item[shown & ~explore]].mean()
    )
    assert ratio[shown & explore].mean() < 0.93 * ratio[shown & ~explore].mean()


def test_upstream_chances_are_the_shares_that_viewers_produce(world):
    bait, viewing = one_video(world, clickbait=0.7, z=-0.5)
    chances = probabilities(BehaviourConfig(), bait, viewing)
    drawn = behave(BehaviourConfig(), bait, viewing, np.random.default_rng(1))
    for name in ("effective_view", "long_view"):
        assert drawn.actions[name].mean() == pytest.approx(chances[name][0], abs=0.01)


def test_upstream_chances_of_reactions_are_near_the_shares_that_viewers_produce(world):
    rng = np.random.default_rng(3)
    user, item = rng.integers(1000, size=400_000), rng.integers(2000, size=400_000)
    match = taste_match(world, user, np.zeros(400_000), item)
    z = expected_satisfaction(world, match, item)
    viewing = Viewing(user, item, user < 0, match, z)
    chances = probabilities(BehaviourConfig(), world, viewing)
    drawn = behave(BehaviourConfig(), world, viewing, rng)
    for name in ("like", "profile_enter", "comment"):
        assert drawn.actions[name].mean() == pytest.approx(chances[name].mean(), rel=0.2)


def test_reactions_of_one_view_come_together(flat):
    like, profile = flat.behaviours["like"], flat.behaviours["profile_enter"]
    together = (like & profile).sum() / like.sum()
    assert together > 2.5 * profile.sum() / flat.exposed.sum()


def test_tastes_turn_by_the_drift_of_each_day(world):
    user, item = np.arange(1000), np.arange(1000)
    same = taste_match(world, user, np.zeros(1000), item)
    next_day = taste_match(world, user, np.full(1000, 1), item)
    week = taste_match(world, user, np.full(1000, 7), item)
    assert 0.99 < np.corrcoef(same, next_day)[0, 1] < 1
    assert np.corrcoef(same, week)[0, 1] == pytest.approx(np.cos(7 * 0.05), abs=0.05)


def test_the_satisfied_are_more_satisfied_than_the_dissatisfied(flat, z):
    satisfied, uncertain, dissatisfied = (
        z[flat.answer == a].mean()
        for a in (Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED)
    )
    assert satisfied > uncertain + 0.5
    assert uncertain > dissatisfied + 0.5


def test_those_who_answer_are_more_satisfied_than_all_who_watch(flat, z):
    assert z[flat.answer != Answer.NONE].mean() > z[flat.exposed].mean() + 0.15


def test_paper_rates_ask_half_a_percent_and_under_two_percent_answer(world, z, flat):
    rng = np.random.default_rng(2)
    views = np.resize(z[flat.exposed], 2_000_000)
    user = rng.integers(len(world.users.activity), size=len(views))
    may_ask = rng.random(len(views)) < 0.64
    replies = ask(QUESTIONNAIRES["paper"], world, user, views, may_ask, rng)
    assert replies.shown.mean() == pytest.approx(0.005, rel=0.05)
    assert 0.01 < (replies.answer[replies.shown] != Answer.NONE).mean() < 0.02
    assert (replies.answer[~replies.shown] == Answer.NONE).all()


def test_behaviour_leaves_room_up_to_what_a_model_could_know(flat, truth, config):
    found = headroom(flat, truth, config.world.satisfied_above, seed=0)
    assert found["oracle z"] == 1
    assert found["random"] < found["logging policy"] < found["upstream, summed log-odds"]
    best_behaviour = max(v for name, v in found.items() if name.startswith("upstream"))
    assert found["expected z (the best a model can do)"] > best_behaviour + 0.2


def test_shuffled_answers_keep_who_answered_and_how_often_what(samples, flat, z):
    dealt = shuffled_answers(samples, seed=1).column("answer").combine_chunks().flatten()
    answer = dealt.to_numpy()
    np.testing.assert_array_equal(answer != Answer.NONE, flat.answer != Answer.NONE)
    np.testing.assert_array_equal(np.bincount(answer), np.bincount(flat.answer))
    gap = z[answer == Answer.SATISFIED].mean() - z[answer == Answer.DISSATISFIED].mean()
    assert abs(gap) < 0.25  # 3.5 standard errors: sd 1, some 700 and 300 answers


def test_shuffling_leaves_every_other_column_and_the_rows_alone(samples):
    dealt = shuffled_answers(samples, seed=1)
    assert dealt.schema == samples.schema
    assert dealt.drop_columns("answer").equals(samples.drop_columns("answer"))


def test_chance_alone_separates_satisfaction_from_what_can_be_known(world):
    expected = np.zeros(50_000)
    z = draw_satisfaction(world, expected, np.random.default_rng(0))
    assert z.std() == pytest.approx(world.config.chance, rel=0.02)
