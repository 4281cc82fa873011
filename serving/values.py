"""The values of one column: of the right type, finite, ids all different; or else a refusal.

`field` is the place in the request that the sentence names.
"""

from typing import Any

import numpy as np

from serving.refusal import RefusedError, shown

INT64 = np.iinfo(np.int64)


def ids_of(field: str, values: list[Any]) -> np.ndarray:
    """int64."""
    _check_types(field, values, {int}, "integers")
    try:
        return np.array(values, dtype=np.int64)
    except OverflowError:
        at = next(i for i, v in enumerate(values) if not INT64.min <= v <= INT64.max)
        raise RefusedError(
            "wrong_type",
            f"{field} must hold integers of 64 bits; element {at} is {shown(values[at])}.",
            field,
        ) from None


def numbers_of(field: str, values: list[Any]) -> np.ndarray:
    """float32, as samples keep them."""
    _check_types(field, values, {int, float}, "numbers")
    try:
        exact = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer of more than 1024 bits
        exact = np.array([v if abs(v) < 2**128 else np.inf for v in values], dtype=np.float64)
    with np.errstate(over="ignore"):
        array = exact.astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        at = int(np.argmin(finite))
        raise RefusedError(
            "not_finite",
            f"{field} must hold finite numbers of 32 bits; element {at} is {shown(values[at])}. "
            "Send the value that training used where nothing is known.",
            field,
        )
    return array


def _check_types(field: str, values: list[Any], allowed: set[type], called: str) -> None:
    if set(map(type, values)) <= allowed:
        return
    at = next(i for i, v in enumerate(values) if type(v) not in allowed)
    raise RefusedError(
        "wrong_type",
        f"{field} must hold {called}; element {at} is {shown(values[at])} "
        f"of type {type(values[at]).__name__}.",
        field,
    )


def check_unique(item_id: np.ndarray) -> None:
    ordered = np.sort(item_id)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise RefusedError(
            "duplicate_items",
            f"candidates.item_id must hold different ids; more than once: "
            f"{shown(list(dict.fromkeys(twice.tolist())))}. Send each candidate once.",
            "candidates.item_id",
        )
