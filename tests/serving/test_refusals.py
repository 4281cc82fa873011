"""Every kind of bad input gets its own code, a sentence, and the place it is at."""

import asyncio
import json
import math

import pytest
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient

from serving.api import build_api
from serving.config import ServingSettings
from serving.contract import ErrorResponse
from serving.replica import RankerReplica


@pytest.fixture
def live(shelf, refresher):
    shelf.publish(1)
    refresher.look()


def changed(body: dict, path: str, value: object) -> dict:
    """The request with one place set, or taken out for `...`."""
    *parents, last = path.split(".")
    place = body
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return body


CASES = [
    # where, what it becomes, code, field, words of the sentence
    ("candidates.log_duration", [0.1, math.nan, 0.2], "not_finite", "", "element 1 is nan"),
    ("candidates.log_duration", [0.1, 0.2, math.inf], "not_finite", "", "element 2 is inf"),
    ("candidates.log_duration", [0.1, 1e300, 0.2], "not_finite", "", "32 bits"),
    ("candidates.log_duration", [0.1, 10**400, 0.2], "not_finite", "", "32 bits"),
    ("user.mean_watched", math.nan, "not_finite", "", "element 0 is nan"),
    ("candidates.log_duration", [0.1, None, 0.2], "wrong_type", "", "None of type NoneType"),
    ("candidates.log_duration", [0.1, "2", 0.2], "wrong_type", "", "'2' of type str"),
    ("candidates.log_duration", [0.1, True, 0.2], "wrong_type", "", "True of type bool"),
    ("candidates.item_id", [1, 2.0, 3], "wrong_type", "", "must hold integers; element 1 is 2.0"),
    ("candidates.item_id", [1, 2**63, 3], "wrong_type", "", "64 bits"),
    ("user.user_id", "7", "wrong_type", "", "'7' of type str"),
    ("user.user_id", [7], "wrong_type", "", "[7] of type list"),
    ("candidates.item_id", [5, 6, 5], "duplicate_items", "", "more than once: [5]"),
    ("candidates.author_id", [1, 2], "unequal_lengths", "", "2 values and candidates.item_id 3"),
    ("upstream.long_view", [0.1], "unequal_lengths", "", "1 values"),
    ("candidates.author_id", ..., "missing_columns", "candidates", "missing: ['author_id']"),
    ("candidates.item_id", ..., "missing_columns", "candidates", "missing: ['item_id']"),
    ("user.user_id", ..., "missing_columns", "user", "missing: ['user_id']"),
    ("upstream", {}, "missing_columns", "upstream", "missing: ['long_view']"),
    ("candidates.colour", [1, 2, 3], "unknown_columns", "candidates", "unknown: ['colour']"),
    ("user.colour", 1, "unknown_columns", "user", "unknown: ['colour']"),
    ("scenario", "shop", "unknown_scenario", "", "this model knows ['main', 'discovery']"),
    ("scenario", 3, "invalid_request", "", "valid string, got 3 of type int"),
    ("candidates", [1], "invalid_request", "", "got [1] of type list"),
    ("candidates.item_id", 4, "invalid_request", "", "got 4 of type int"),
    ("user", ..., "invalid_request", "", "Missing key 'user'"),
    ("users", {}, "invalid_request", "", "Unknown key 'users'"),
    ("top_k", 0, "invalid_request", "", "greater than or equal to 1, got 0"),
    ("top_k", "2", "invalid_request", "", "got '2' of type str"),
    ("request_id", "", "invalid_request", "", "at least 1 character"),
    ("request_time_ms", -1, "invalid_request", "", "greater than or equal to 0"),
]


@pytest.mark.parametrize(("path", "value", "code", "field", "words"), CASES)
def test_each_bad_input_is_told_apart(client, live, body, path, value, code, field, words):
    answer = client.post("/v1/rank", content=json.dumps(changed(body, path, value)))
    assert answer.status_code == 422
    error = ErrorResponse.model_validate_json(answer.content).error
    assert (error.code, error.field) == (code, field or path)
    assert words in error.message


def test_no_candidates_is_refused(client, live, body):
    empty = {"item_id": [], "author_id": [], "log_duration": []}
    answer = client.post(
        "/v1/rank", json=body | {"candidates": empty, "upstream": {"long_view": []}}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "empty_candidates"


@pytest.mark.parametrize(("count", "status"), [(50, 200), (51, 413)])
def test_as_many_candidates_as_configured_and_no_more(client, live, body, count, status):
    body["candidates"] = {
        "item_id": list(range(count)),
        "author_id": [1] * count,
        "log_duration": [0.5] * count,
    }
    body["upstream"] = {"long_view": [0.5] * count}
    answer = client.post("/v1/rank", json=body)
    assert answer.status_code == status
    if status == 413:
        assert answer.json()["error"]["code"] == "too_many_candidates"
        assert "51 candidates came and at most 50" in answer.json()["error"]["message"]


@pytest.mark.parametrize("text", ["", "{", "ranking, please", b"\xff\xfe"])
def test_what_is_not_json_is_refused(client, live, text):
    answer = client.post("/v1/rank", content=text)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_json"


@pytest.mark.parametrize("text", ["[]", "7", "null"])
def test_json_that_is_no_object_is_refused(client, live, text):
    answer = client.post("/v1/rank", content=text)
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid_request"


def test_a_body_of_many_megabytes_is_not_read_to_its_end(refresher, live):
    settings = ServingSettings(max_body_bytes=2000)
    client = TestClient(build_api(RankerReplica(settings, refresher, "r0")))
    answer = client.post("/v1/rank", content=b" " * 2001)
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "body_too_large"


def test_before_the_first_version_the_service_lives_and_is_not_ready(client, refresher, body):
    refresher.look()
    for answer in (client.post("/v1/rank", json=body), client.get("/readyz")):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        error = ErrorResponse.model_validate_json(answer.content).error
        assert error.code == "no_model"
        assert "no version is champion" in error.message
    assert client.get("/healthz").status_code == 200
    assert client.get("/v1/model").json()["live"] is None


def test_v1_asks_for_the_key_where_one_is_set(refresher, live, body):
    settings = ServingSettings(api_key="secret")
    client = TestClient(build_api(RankerReplica(settings, refresher, "r0")))
    assert client.post("/v1/rank", json=body).status_code == 401
    assert client.get("/v1/model", headers={"x-api-key": "wrong"}).status_code == 401
    assert client.post("/v1/rank", json=body, headers={"x-api-key": "secret"}).status_code == 200
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_a_wrong_route_or_method_gets_a_typed_body_too(client):
    cases = (("/v1/rank", 405, "method_not_allowed"), ("/v2/rank", 404, "not_found"))
    for route, status, code in cases:
        answer = client.get(route)
        assert answer.status_code == status
        assert ErrorResponse.model_validate_json(answer.content).error.code == code


def test_rankings_that_would_wait_too_long_are_refused_until_the_queue_is_short(
    refresher, live, body
):
    settings = ServingSettings(queue_seconds=1e-9)  # nobody may wait
    api = build_api(RankerReplica(settings, refresher, "r0"))

    async def rush():
        async with AsyncClient(transport=ASGITransport(api), base_url="http://easq") as client:
            before = await client.post("/v1/rank", json=body)
            at_once = await asyncio.gather(*(client.post("/v1/rank", json=body) for _ in range(8)))
            return before, at_once, await client.post("/v1/rank", json=body)

    before, at_once, after = asyncio.run(rush())
    assert before.status_code == after.status_code == 200
    assert [answer.status_code for answer in at_once] == [200] + [503] * 7
    for answer in at_once[1:]:
        assert answer.headers["retry-after"] == "1"
        error = ErrorResponse.model_validate_json(answer.content).error
        assert error.code == "overloaded"
        assert "The rankings before this one, 1, would take" in error.message
    assert TestClient(api).get("/v1/model").json()["refused"] == 7


def test_those_who_may_wait_are_all_ranked(refresher, live, body):
    api = build_api(RankerReplica(ServingSettings(queue_seconds=1e9), refresher, "r0"))

    async def rush():
        async with AsyncClient(transport=ASGITransport(api), base_url="http://easq") as client:
            return await asyncio.gather(*(client.post("/v1/rank", json=body) for _ in range(50)))

    assert {answer.status_code for answer in asyncio.run(rush())} == {200}
