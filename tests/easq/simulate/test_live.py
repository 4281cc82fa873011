"""Viewers who ask a service: of the same world as the history, and they mean what they say."""

import numpy as np
import pytest

from easq.events import BEHAVIOURS, Answer
from easq.history import Description, History
from easq.questionnaire import is_eligible
from easq.simulate.columns import feature_spec
from easq.simulate.live import BLOCK, Audience, config_of, day_shift_ms
from easq.simulate.traffic import DAY_MS

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def now_ms(config):
    return config.traffic.start_ms + 3 * DAY_MS + 20 * HOUR_MS


def _requests(config, now_ms, count, **options):
    audience = Audience(config, "t", **options)
    return audience, [audience.request(now_ms) for _ in range(count)]


def _by_item(flat, column):
    return dict(zip(flat.columns.item["item_id"].tolist(), column.tolist(), strict=True))


def test_the_world_is_that_of_the_history(history, flat, now_ms):
    _, requests = _requests(config_of(history), now_ms, 300)
    author = _by_item(flat, flat.columns.item["item.author"])
    duration = _by_item(flat, flat.duration_seconds)
    segment = dict(
        zip(flat.user_id.tolist(), flat.columns.user["user.segment"].tolist(), strict=True)
    )
    compared = 0
    for body, _ in requests:
        assert (
            segment.get(body["user"]["user_id"], body["user"]["segment"])
            == (body["user"]["segment"])
        )
        c = body["candidates"]
        known = [i for i, item in enumerate(c["item_id"]) if item in author]
        compared += len(known)
        assert [author[c["item_id"][i]] for i in known] == [c["author"][i] for i in known]
        assert [duration[c["item_id"][i]] for i in known] == [
            c["duration_seconds"][i] for i in known
        ]
    assert compared > 1000


def test_upstream_models_err_about_the_same_items_as_in_the_history(config, flat, now_ms):
    """Half of an error's variance stays with the item: its mean log-odds come back."""

    def mean_odds(items, p):
        items, p = np.asarray(items), np.asarray(p, float)
        total = np.bincount(items, np.log(p / (1 - p)), config.world.items)
        return total, np.bincount(items, minlength=config.world.items)

    _, requests = _requests(config, now_ms, 1000)
    live = mean_odds(
        np.concatenate([b["candidates"]["item_id"] for b, _ in requests]),
        np.concatenate([b["upstream"]["follow"] for b, _ in requests]),
    )
    old = mean_odds(flat.columns.item["item_id"], flat.columns.item["upstream.follow"])
    often = (live[1] >= 20) & (old[1] >= 20)
    assert often.sum() > 50
    assert np.corrcoef(live[0][often] / live[1][often], old[0][often] / old[1][often])[0, 1] > 0.8


def test_a_request_has_all_features_and_distinct_candidates(config, now_ms):
    spec = feature_spec(config)
    _, requests = _requests(config, now_ms, 50)
    body = requests[0][0]
    user = {f.name for f in (*spec.categorical, *spec.dense) if f.of == "user"}
    item = {f.name for f in (*spec.categorical, *spec.dense) if f.of == "item"}
    assert set(body["user"]) == user
    assert set(body["candidates"]) == {*item, "duration_seconds"}
    assert set(body["upstream"]) == set(spec.upstream)
    for body, _ in requests:
        ids = body["candidates"]["item_id"]
        assert len(set(ids)) == len(ids)
        columns = {**body["candidates"], **body["upstream"]}
        assert {len(values) for values in columns.values()} == {len(ids)}
        assert body["scenario"] in spec.scenarios


def test_the_same_seed_asks_the_same_and_ids_go_with_the_run(config, now_ms):
    count = BLOCK + 3
    _, first = _requests(config, now_ms, count)
    _, again = _requests(config, now_ms, count)
    _, other = _requests(config, now_ms, count, seed=1)
    assert [b for b, _ in first] == [b for b, _ in again]
    assert first[-1][0]["candidates"] != other[-1][0]["candidates"]
    assert first[-1][0]["candidates"] != first[2][0]["candidates"]
    assert len({b["request_id"] for b, _ in first}) == count
    assert first[0][0]["request_id"].startswith("t-")


def test_what_a_viewer_does_depends_on_the_ranking_alone(config, now_ms):
    audience, [(body, hidden)] = _requests(config, now_ms, 1)
    ranking = body["candidates"]["item_id"]
    asked = [True] * len(ranking)
    events = audience.view(hidden, ranking, asked)
    assert audience.view(hidden, ranking, asked) == events
    assert audience.view(hidden, ranking[::-1], asked) != events


def test_events_fit_the_schema_and_follow_the_rule_of_the_questionnaire(config, now_ms):
    audience, requests = _requests(config, now_ms, 400)
    words = {a.name.lower() for a in Answer} - {"none"}
    answers = 0
    for body, hidden in requests:
        ranking = body["candidates"]["item_id"]
        asked = [place % 2 == 0 for place in range(len(ranking))]
        duration = dict(zip(ranking, body["candidates"]["duration_seconds"], strict=True))
        events = audience.view(hidden, ranking, asked)
        watched = [e.body for e in events if e.body["kind"] == "behaviour"]
        assert [e["item_id"] for e in watched] == ranking[:8]
        assert all(set(e["behaviours"]) <= set(BEHAVIOURS) for e in watched)
        assert events == sorted(events, key=lambda e: e.after_seconds)
        assert events[-1].after_seconds == pytest.approx(sum(e["watched_seconds"] for e in watched))
        assert len({e.body["event_id"] for e in events}) == len(events)
        for event in (e.body for e in events if e.body["kind"] == "answer"):
            answers += 1
            assert event["answer"] in words
            assert asked[ranking.index(event["item_id"])]
            seconds = np.array([event["watched_seconds"]], np.float32)
            assert is_eligible(seconds, np.array([duration[event["item_id"]]], np.float32)).all()
    assert answers > 50


def test_better_rankings_are_answered_with_satisfied_more_often(config, now_ms):
    audience, requests = _requests(config, now_ms, 1500)
    rng = np.random.default_rng(0)

    def satisfied_share(order) -> float:
        said = []
        for _, hidden in requests:
            ranking = hidden.viewing.item[order(hidden)].tolist()
            for event in audience.view(hidden, ranking, [True] * len(ranking)):
                said.append(event.body.get("answer"))
        return said.count("satisfied") / (said.count("satisfied") + said.count("dissatisfied"))

    oracle = satisfied_share(lambda h: np.argsort(-h.viewing.satisfaction))
    random = satisfied_share(lambda h: rng.permutation(len(h.expected)))
    assert oracle > random + 0.1


def test_items_that_were_no_candidates_are_refused(config, now_ms):
    audience, [(body, hidden)] = _requests(config, now_ms, 1)
    foreign = next(i for i in range(2000) if i not in body["candidates"]["item_id"])
    with pytest.raises(ValueError, match="no candidates"):
        audience.view(hidden, [foreign], [False])


def test_viewers_need_a_simulated_history(history):
    sources = [s.model_copy(update={"name": "kuairand"}) for s in history.description.sources]
    tree = history.description.model_dump() | {"sources": [s.model_dump() for s in sources]}
    with pytest.raises(ValueError, match="easq simulate"):
        config_of(History(history.root, Description.model_validate(tree)))


@pytest.mark.parametrize("days_later", [-2, 0, 1, 400])
def test_today_becomes_the_first_day_after_the_history(config, days_later):
    first_after = config.traffic.start_ms + config.traffic.days * DAY_MS
    now = first_after + days_later * DAY_MS + 5 * HOUR_MS
    assert now + day_shift_ms(config.traffic, now) == first_after + 5 * HOUR_MS
