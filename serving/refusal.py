"""A request that is answered with a sentence and an HTTP status instead of a ranking."""

from http import HTTPStatus

from pydantic import ValidationError

from serving.contract import Error, ErrorCode

STATUS: dict[ErrorCode, HTTPStatus] = {
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "body_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too_many_candidates": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unauthorised": HTTPStatus.UNAUTHORIZED,
    "too_many_events": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "feedback_off": HTTPStatus.NOT_IMPLEMENTED,
    "log_away": HTTPStatus.SERVICE_UNAVAILABLE,
    "log_full": HTTPStatus.INSUFFICIENT_STORAGE,
    "no_model": HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Everything else is 422: well-formed, and not what this service can use."""

SHOWN = 60
"""Characters of a wrong value that a message repeats."""
FIELD = 120
"""Characters of the path to it: its keys are the client's too."""


class RefusedError(Exception):
    """Raised where a request is found wrong; the API answers with its error."""

    def __init__(self, code: ErrorCode, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.error = Error(code=code, message=message, field=field)
        self.status = STATUS.get(code, HTTPStatus.UNPROCESSABLE_ENTITY)


def shown(value: object) -> str:
    """A value as a message repeats it, cut when long."""
    return cut(repr(value), SHOWN)


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def of_validation(error: ValidationError) -> RefusedError:
    """The first thing that pydantic found, in a sentence."""
    first = error.errors(include_url=False)[0]
    field = cut(".".join(str(part) for part in first["loc"]), FIELD) or None
    if first["type"] == "json_invalid":
        return RefusedError(
            "invalid_json", f"Expected a JSON object, got text that is none: {first['msg']}."
        )
    if first["type"] == "extra_forbidden":
        message = f"Unknown key {field!r}: take it out, or see /docs for the keys of a request."
    elif first["type"] == "missing":
        message = f"Missing key {field!r}: add it; /docs shows a whole request."
    else:
        came = f"{shown(first['input'])} of type {type(first['input']).__name__}"
        message = f"{field or 'The body'}: {first['msg'].rstrip('.')}, got {came}."
    return RefusedError("invalid_request", message, field)
