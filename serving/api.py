"""The HTTP face of a replica: routes, the API key, and errors as typed bodies."""

import logging
import re
import secrets
from http import HTTPStatus
from typing import TypeVar

from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, SecretStr, ValidationError
from starlette.exceptions import HTTPException

from serving.contract import (
    Assignment,
    Error,
    ErrorResponse,
    Health,
    ModelReport,
    RankRequest,
    RankResponse,
)
from serving.event_contract import EventsRequest, EventsResponse
from serving.feedback import Feedback
from serving.ranked import Ranked
from serving.refusal import RefusedError, of_validation, shown
from serving.replica import RankerReplica

log = logging.getLogger("ray.serve")
JSON = "application/json"
REFUSALS: dict[int | str, dict] = {
    status: {"model": ErrorResponse, "description": HTTPStatus(status).phrase}
    for status in (400, 401, 413, 422, 503)
}
EVENT_REFUSALS = REFUSALS | {
    status: {"model": ErrorResponse, "description": HTTPStatus(status).phrase}
    for status in (501, 507)
}
INT64 = re.compile(r"-?[0-9]{1,19}")
USER_ID = {
    "parameters": [
        {"name": "user_id", "in": "query", "required": True, "schema": {"type": "integer"}}
    ]
}
Body = TypeVar("Body", bound=BaseModel)


def body_of(model: type[BaseModel]) -> dict:
    """Bodies are read by hand, so FastAPI does not see their model."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def build_api(replica: RankerReplica) -> FastAPI:
    """The routes of one replica."""
    api = FastAPIOffline(title="EASQ ranking", version="1")  # /docs without a CDN
    api.add_exception_handler(RefusedError, _refuse)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(Exception, _internal_error)
    key, max_bytes = replica.settings.api_key, replica.settings.max_body_bytes

    @api.post(
        "/v1/rank",
        response_model=RankResponse,
        responses=REFUSALS,
        openapi_extra=body_of(RankRequest),
    )
    async def rank(request: Request) -> Response:
        """Order the candidates of one user by falling score."""
        check_key(key, request)
        replica.admission.check()  # a refusal needs no body
        body = await read_body(request, max_bytes)
        async with replica.admission.turn():
            ranked = replica.rank(parse(RankRequest, body))
        ranking = await with_token(replica.feedback, ranked)
        return answer(ranking, headers={"x-easq-replica": replica.name})

    @api.post(
        "/v1/events",
        response_model=EventsResponse,
        responses=EVENT_REFUSALS,
        openapi_extra=body_of(EventsRequest),
    )
    async def events(request: Request) -> Response:
        """Take what viewers did and answered; each event is accepted or rejected on its own."""
        check_key(key, request)
        batch = parse(EventsRequest, await read_body(request, max_bytes))
        return answer(await receive(replica.feedback, batch))

    @api.get("/v1/model", response_model=ModelReport, responses={401: REFUSALS[401]})
    async def model(request: Request) -> Response:
        """The live version, the columns it needs, and what the last refresh came to."""
        check_key(key, request)
        return answer(replica.model())

    @api.get(
        "/v1/experiment",
        response_model=Assignment,
        responses={status: REFUSALS[status] for status in (401, 422)},
        openapi_extra=USER_ID,
    )
    async def experiment(request: Request) -> Response:
        """The arm of a user (query `user_id`), and the model line that ranks for it."""
        check_key(key, request)
        return answer(replica.lines.assignment(user_id_of(request)))

    @api.get("/healthz", response_model=Health)
    async def healthz() -> Response:
        """The process answers."""
        return answer(Health())

    @api.get("/readyz", response_model=Health, responses={503: REFUSALS[503]})
    async def readyz() -> Response:
        """Every model line has a version to rank with."""
        replica.check_ready()
        return answer(Health())

    return api


def check_key(key: SecretStr | None, request: Request) -> None:
    if key is None:
        return
    came = request.headers.get("x-api-key", "")
    if not secrets.compare_digest(came.encode(), key.get_secret_value().encode()):
        raise RefusedError(
            "unauthorised",
            f"Expected the service's API key in the header x-api-key, and "
            f"{'another key' if came else 'no key'} came.",
        )


def user_id_of(request: Request) -> int:
    """Raises RefusedError unless the query says `user_id` once, a 64-bit integer."""
    came = request.query_params.getlist("user_id")
    if len(came) != 1 or not INT64.fullmatch(came[0]) or not -(2**63) <= int(came[0]) < 2**63:
        raise RefusedError(
            "invalid_request",
            f"Expected one 64-bit integer user_id in the query, got {shown(came)}: "
            "GET /v1/experiment?user_id=7.",
            "user_id",
        )
    return int(came[0])


async def read_body(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise RefusedError(
                "body_too_large",
                f"The body is longer than {max_bytes} bytes: send less at once, "
                "or raise EASQ_MAX_BODY_BYTES.",
            )
    return bytes(body)


def parse(model: type[Body], body: bytes) -> Body:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise of_validation(error) from None


async def with_token(feedback: Feedback | None, ranked: Ranked) -> RankResponse:
    return ranked.response if feedback is None else await feedback.shown(ranked)


async def receive(feedback: Feedback | None, batch: EventsRequest) -> EventsResponse:
    if feedback is None:
        raise RefusedError(
            "feedback_off", "This service has no log to keep events in: set EASQ_LOG."
        )
    return await feedback.receive(batch)


def answer(
    body: BaseModel, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    return Response(body.model_dump_json(), status, headers, JSON)


async def _refuse(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, RefusedError)
    headers = {"retry-after": "1"} if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return answer(ErrorResponse(error=refusal.error), refusal.status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}. See /docs for the routes."
    wrong_method = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed" if wrong_method else "not_found"
    body = ErrorResponse(error=Error(code=code, message=message))
    return answer(body, error.status_code, dict(error.headers or {}))


async def _internal_error(request: Request, error: Exception) -> Response:
    message = f"The service failed on this request ({type(error).__name__}); see its log."
    body = ErrorResponse(error=Error(code="internal", message=message))
    return answer(body, HTTPStatus.INTERNAL_SERVER_ERROR)
