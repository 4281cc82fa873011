"""What goes over HTTP. Columns stand as lists: one element a candidate, all of one length.

`user.<f>` of a sample is `user: {"<f>": ...}` here, `item.<f>` is `candidates: {"<f>": [...]}` and
`upstream.<f>` is `upstream: {"<f>": [...]}`; hour and weekday follow from `request_time_ms`.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

REQUEST_EXAMPLE = {
    "request_id": "b7c1",
    "user": {"user_id": 7, "activity": 2, "mean_watched": 0.31},
    "scenario": "main",
    "request_time_ms": 1_650_000_000_000,
    "candidates": {
        "item_id": [501, 502, 503],
        "author_id": [31, 8, 31],
        "log_duration": [0.4, -1.2, 0.0],
        "duration_seconds": [14.9, 3.0, 10.0],
    },
    "upstream": {"long_view": [0.61, 0.12, 0.33]},
    "top_k": 2,
}
RESPONSE_EXAMPLE = {
    "request_id": "b7c1",
    "model": {"name": "easq-ranker", "version": 3, "seq": 1207},
    "scenario": "main",
    "request_time_ms": 1_650_000_000_000,
    "item_id": [501, 503],
    "score": [1.73, 0.42],
    "asked": [False, True],
    "token": "AQAAKgAAAAAAAAAHAAAAAAAAAACAxMMugAEAAA",
    "feedback": "on",
}


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RankRequest(Contract):
    """One user's candidates. Which feature columns are needed is in `GET /v1/model`."""

    model_config = ConfigDict(json_schema_extra={"examples": [REQUEST_EXAMPLE]})

    user: dict[str, Any]
    """`user_id` and every user feature of the model, a number each."""
    scenario: str
    candidates: dict[str, list[Any]]
    """`item_id` (all different) and every item feature of the model. `duration_seconds` may
    always come too (0: unknown): no feature, but what feedback is checked against."""
    upstream: dict[str, list[Any]] = Field(default_factory=dict)
    """Scores of earlier models, by candidate."""
    request_id: str | None = Field(default=None, min_length=1, max_length=128)
    """The response repeats it; a new one is made if there is none."""
    request_time_ms: int | None = Field(default=None, ge=0, le=LATEST_MS)
    """Unix milliseconds; now, if not given."""
    top_k: int | None = Field(default=None, ge=1)
    """How many of the best to return; all, if not given."""


class ModelName(Contract):
    name: str
    version: int
    seq: int = -1
    """Of the newest delta in the weights; -1: none, the version as it was published."""


FeedbackState = Literal["on", "off", "away"]


class RankResponse(Contract):
    """Candidates by falling score (y-hat, EASQ §4.5); equal scores stay in the request's order."""

    model_config = ConfigDict(json_schema_extra={"examples": [RESPONSE_EXAMPLE]})

    request_id: str
    model: ModelName
    """The weights that made every score of this response."""
    scenario: str
    request_time_ms: int
    """The time that hour and weekday were read from."""
    item_id: list[int]
    score: list[float]
    asked: list[bool]
    """Where the client may show the questionnaire, once >= 7 s or >= 50 % of the item are watched.
    At most one."""
    arm: str | None = None
    """Of the experiment that runs, `rest` for users in none of its arms; None: there is none."""
    token: str | None = None
    """Goes with every event about this response to POST /v1/events."""
    feedback: FeedbackState = "off"
    """`off`: the service has no log. `away`: its log could not take this impression; rank on."""


ErrorCode = Literal[
    "invalid_json",
    "invalid_request",
    "body_too_large",
    "unauthorised",
    "unknown_scenario",
    "missing_columns",
    "unknown_columns",
    "wrong_type",
    "not_finite",
    "unequal_lengths",
    "empty_candidates",
    "too_many_candidates",
    "duplicate_items",
    "out_of_range",
    "too_many_events",
    "feedback_off",
    "log_away",
    "log_full",
    "no_model",
    "overloaded",
    "not_found",
    "method_not_allowed",
    "internal",
]


class Error(Contract):
    code: ErrorCode
    message: str
    """What was expected, what came and what to do."""
    field: str | None = None
    """Where in the request, such as `candidates.item_id`."""


class ErrorResponse(Contract):
    error: Error


class RequiredColumns(Contract):
    """Keys that a request must have; names in `integers` hold ids, the others numbers."""

    user: list[str]
    candidates: list[str]
    upstream: list[str]
    integers: list[str]


class LiveModel(Contract):
    name: str
    version: int
    seq: int
    window: int
    """The first window of the stream that the weights have not learnt."""
    digest: str | None
    """Of the weights (easq.state_digest); None where deltas are not followed."""
    learnt: dict[int, int]
    """Of partitions of topic `samples`: offsets below these have been learnt, by a delta."""
    run_id: str
    schema_hash: str
    loaded_at_ms: int
    scenarios: list[str]
    columns: RequiredColumns
    max_candidates: int


class RefreshReport(Contract):
    """What became of the last look at the registry."""

    champion: int | None = None
    checked_at_ms: int | None = None
    problem: str | None = None
    """Why the live version is not the champion, or why that is not known; None: it is."""


class FeedbackReport(Contract):
    """What this replica has counted since it started."""

    impressions: int = 0
    impressions_lost: int = 0
    """Rankings without a token because the log could not take their impression."""
    offered: int = 0
    """Impressions with an item that may be asked about."""
    accepted: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    """By code."""
    clock_skewed: int = 0
    """Accepted events whose client's clock was hours off."""
    batches_refused: int = 0
    """Batches answered with 503 or 507."""
    dead_letters_lost: int = 0
    """Rejected events that topic `rejected` had no room for."""
    problem: str | None = None
    """Why the last impression could not be kept; None: it was."""


class DeltaReport(Contract):
    """What became of the deltas that this replica has met since it started."""

    following: bool = True
    """False after a way back, by a rollback or a block: deltas wait for the next version."""
    stopped: str | None = None
    """Why deltas are not followed, in a sentence; None: they are."""
    applied: int = 0
    refused: int = 0
    """Damaged, after a gap, or leading to another state than the trainer's."""
    problem: str | None = None
    """Why the newest delta is not in the live weights, where they are followed."""


class LineReport(Contract):
    """A model line beside the service's own."""

    live: LiveModel | None
    refresh: RefreshReport
    deltas: DeltaReport | None


class ModelReport(Contract):
    live: LiveModel | None
    refresh: RefreshReport
    deltas: DeltaReport | None
    """None: no log is configured."""
    replica: str
    feedback: FeedbackReport | None = None
    """None: the service has no log."""
    refused: int = 0
    """Rankings that would have waited too long."""
    lines: dict[str, LineReport] = Field(default_factory=dict)
    """Further lines that arms of the experiment are served, by model name."""


class Assignment(Contract):
    """Which model line ranks for a user."""

    user_id: int
    model: str
    """Name in the registry."""
    experiment: str | None = None
    """None: none runs, and all users are served alike."""
    arm: str | None = None
    """`rest` for users in none of the experiment's arms."""
    bucket: int | None = None
    """0 to 9,999, from the experiment's salt and the user."""


class Health(Contract):
    status: Literal["ok"] = "ok"
