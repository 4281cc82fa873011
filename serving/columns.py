"""A request as the arrays that the feature code reads, checked against the model's features."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import numpy as np

from easq.features import RESERVED, Columns, FeatureSpec
from serving.contract import RankRequest, RequiredColumns
from serving.refusal import RefusedError, shown
from serving.values import check_unique, ids_of, numbers_of


class Expected(NamedTuple):
    """Sample columns of one part of the request, by the key that they have there."""

    ids: dict[str, str]
    numbers: dict[str, str]

    @property
    def keys(self) -> set[str]:
        return {*self.ids, *self.numbers}


class ExpectedRequest(NamedTuple):
    """What a model reads from a request; made once a version."""

    user: Expected
    candidates: Expected
    upstream: Expected
    scenarios: tuple[str, ...]


def expected_request(spec: FeatureSpec) -> ExpectedRequest:
    user, item = (
        Expected(
            {id_column: id_column} | {f.name: f.column for f in spec.categorical if f.of == part},
            {f.name: f.column for f in spec.dense if f.of == part},
        )
        for part, id_column in (("user", "user_id"), ("item", "item_id"))
    )
    upstream = Expected({}, {name: f"upstream.{name}" for name in spec.upstream})
    return ExpectedRequest(user, item, upstream, spec.scenarios)


def required_columns(expected: ExpectedRequest) -> RequiredColumns:
    user, item, upstream, _ = expected
    return RequiredColumns(
        user=sorted(user.keys),
        candidates=sorted(item.keys),
        upstream=sorted(upstream.keys),
        integers=sorted([*user.ids, *item.ids]),
    )


def to_columns(
    request: RankRequest, expected: ExpectedRequest, max_candidates: int, time_ms: int
) -> Columns:
    """One request, N candidates. Raises RefusedError, which says what to change."""
    _check_scenario(request.scenario, expected.scenarios)
    _check_keys("user", request.user, expected.user)
    _check_keys("candidates", request.candidates, expected.candidates, {RESERVED})
    _check_keys("upstream", request.upstream, expected.upstream)
    count = _check_count(request, max_candidates)
    user = _arrays("user", {k: [v] for k, v in request.user.items()}, expected.user)
    item = _arrays("candidates", request.candidates, expected.candidates)
    check_unique(item["item_id"])
    item |= _arrays("upstream", request.upstream, expected.upstream)
    return Columns(user, item, [request.scenario], np.array([time_ms]), np.array([count]))


def durations(request: RankRequest) -> np.ndarray:
    """Seconds of each candidate, float32 [N], 0 where unknown; of a request that is checked."""
    came = request.candidates.get(RESERVED)
    if came is None:
        return np.zeros(len(request.candidates["item_id"]), np.float32)
    field = f"candidates.{RESERVED}"
    seconds = numbers_of(field, came)
    if (seconds < 0).any():
        at = int(np.argmax(seconds < 0))
        raise RefusedError(
            "out_of_range",
            f"{field} must be 0 (unknown) or more; element {at} is {shown(came[at])}.",
            field,
        )
    return seconds


def _check_scenario(scenario: str, known: tuple[str, ...]) -> None:
    if scenario not in known:
        raise RefusedError(
            "unknown_scenario",
            f"Unknown scenario {shown(scenario)}: this model knows {list(known)}.",
            "scenario",
        )


def _check_keys(
    part: str, came: Mapping[str, Any], expected: Expected, allowed: Set[str] = frozenset()
) -> None:
    missing = sorted(expected.keys - came.keys())
    unknown = sorted(came.keys() - expected.keys - allowed)
    if missing:
        raise RefusedError(
            "missing_columns",
            f"{part} must have {sorted(expected.keys)}; missing: {missing}. "
            "Add them; GET /v1/model lists what the live version needs.",
            part,
        )
    if unknown:
        raise RefusedError(
            "unknown_columns",
            f"{part} must have {sorted(expected.keys)} and nothing else; "
            f"unknown: {shown(unknown)}. Take them out.",
            part,
        )


def _check_count(request: RankRequest, max_candidates: int) -> int:
    """Number of candidates, the same in every column."""
    count = len(request.candidates["item_id"])
    for part, columns in (("candidates", request.candidates), ("upstream", request.upstream)):
        for name, values in columns.items():
            if len(values) != count:
                raise RefusedError(
                    "unequal_lengths",
                    f"{part}.{name} has {len(values)} values and candidates.item_id {count}: "
                    "every column needs one value a candidate.",
                    f"{part}.{name}",
                )
    if count == 0:
        raise RefusedError(
            "empty_candidates",
            "candidates.item_id is empty: send at least one candidate to rank.",
            "candidates.item_id",
        )
    if count > max_candidates:
        raise RefusedError(
            "too_many_candidates",
            f"{count} candidates came and at most {max_candidates} are ranked at once: "
            "send fewer, or raise EASQ_MAX_CANDIDATES.",
            "candidates.item_id",
        )
    return count


def _arrays(
    part: str, columns: Mapping[str, list[Any]], expected: Expected
) -> dict[str, np.ndarray]:
    """Sample columns: ids int64, numbers float32."""
    ids = {c: ids_of(f"{part}.{key}", columns[key]) for key, c in expected.ids.items()}
    return ids | {
        c: numbers_of(f"{part}.{key}", columns[key]) for key, c in expected.numbers.items()
    }
