"""POST /v1/rank without a cluster: what comes back, and that it can be computed again."""

import json

import numpy as np
import pytest

from easq.artefact import load_ranker
from serving.config import ServingSettings
from serving.contract import REQUEST_EXAMPLE, RESPONSE_EXAMPLE, RankRequest, RankResponse
from serving.replica import best_first

HOUR_MS = 3_600_000


@pytest.fixture
def live(shelf, refresher):
    """Version 1 is being served; its ranker, loaded apart."""
    directory = shelf.publish(1)
    refresher.look()
    return load_ranker(directory)


def test_a_ranking_holds_every_candidate_by_falling_score(client, live, body, offline_scores):
    answer = client.post("/v1/rank", json=body)
    assert answer.status_code == 200
    ranking, offline = answer.json(), offline_scores(live, body)
    assert ranking["item_id"] == sorted(offline, key=lambda i: -offline[i])
    assert ranking["score"] == pytest.approx([offline[i] for i in ranking["item_id"]], abs=1e-6)
    assert ranking["model"] == {"name": "easq", "version": 1, "seq": -1}
    assert (ranking["request_id"], ranking["scenario"]) == ("r1", "main")


def test_top_k_cuts_the_ranking_and_nothing_else(client, live, body):
    whole = client.post("/v1/rank", json=body).json()
    best = client.post("/v1/rank", json=body | {"top_k": 2}).json()
    more = client.post("/v1/rank", json=body | {"top_k": 99}).json()
    assert best["item_id"] == whole["item_id"][:2]
    assert best["score"] == whole["score"][:2]
    assert more["item_id"] == whole["item_id"]


def test_equal_scores_keep_the_order_of_the_request():
    assert best_first(np.array([1.0, 3.0, 3.0, 2.0]), None).tolist() == [1, 2, 3, 0]
    assert best_first(np.array([1.0, 3.0, 3.0, 2.0]), 2).tolist() == [1, 2]


def test_without_a_time_the_response_names_the_one_it_used(client, live, body, offline_scores):
    del body["request_time_ms"], body["request_id"]
    ranking = client.post("/v1/rank", json=body).json()
    offline = offline_scores(live, body | {"request_time_ms": ranking["request_time_ms"]})
    assert dict(zip(ranking["item_id"], ranking["score"], strict=True)) == pytest.approx(
        offline, abs=1e-6
    )
    assert len(ranking["request_id"]) == 32


def test_the_hour_of_the_request_reaches_the_model(client, live, body):
    morning = client.post("/v1/rank", json=body).json()["score"]
    evening = body | {"request_time_ms": body["request_time_ms"] + 9 * HOUR_MS}
    assert client.post("/v1/rank", json=evening).json()["score"] != morning


def test_permuting_candidates_changes_no_score(client, live, body):
    order = [2, 0, 1]
    mixed = body | {
        "candidates": {k: [v[i] for i in order] for k, v in body["candidates"].items()},
        "upstream": {"long_view": [body["upstream"]["long_view"][i] for i in order]},
    }
    first, second = (client.post("/v1/rank", json=b).json() for b in (body, mixed))
    assert second["item_id"] == first["item_id"]
    assert second["score"] == pytest.approx(first["score"], abs=1e-6)


def test_the_examples_of_the_api_page_fit_the_contract(client):
    RankRequest.model_validate_json(json.dumps(REQUEST_EXAMPLE))
    RankResponse.model_validate_json(json.dumps(RESPONSE_EXAMPLE))
    page = client.get("/openapi.json").json()
    body = page["paths"]["/v1/rank"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["examples"] == [REQUEST_EXAMPLE]
    assert set(page["paths"]["/v1/rank"]["post"]["responses"]) >= {"200", "401", "422", "503"}
    assert client.get("/docs").status_code == 200


def test_the_model_route_says_what_a_request_needs(client, live):
    report = client.get("/v1/model").json()
    assert report["live"]["version"] == 1
    assert report["live"]["schema_hash"] == live.spec.schema_hash
    assert report["live"]["scenarios"] == ["main", "discovery"]
    assert report["live"]["columns"] == {
        "user": ["mean_watched", "user_id"],
        "candidates": ["author_id", "item_id", "log_duration"],
        "upstream": ["long_view"],
        "integers": ["author_id", "item_id", "user_id"],
    }
    assert report["refresh"]["problem"] is None


def test_strangers_need_a_key():
    with pytest.raises(ValueError, match="set EASQ_API_KEY"):
        ServingSettings(host="0.0.0.0")
    assert ServingSettings(host="0.0.0.0", api_key="k").host == "0.0.0.0"


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_an_empty_key_is_no_key(host, monkeypatch):
    monkeypatch.setenv("EASQ_API_KEY", "")
    with pytest.raises(ValueError, match="expected a key of at least one character"):
        ServingSettings(host=host)
