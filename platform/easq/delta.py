"""A delta: the served weights that changed, as a row of topic `models` (design: fast lane).

Values are absolute, so applying a delta twice is applying it once. The payload is safetensors:

ranker.…          every served dense weight
rows.<w>.gaps     how far each touched row is from the one before, unsigned, as short as it goes
rows.<w>          their values, float32 [n, w]
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save
from torch import Tensor

from easq.announcements import ANNOUNCEMENT, DELTA, DeltaHead
from easq.state_digest import ROWS, ServedWeights, TouchedRows

GAPS = ".gaps"


class Delta(NamedTuple):
    head: DeltaHead
    dense: dict[str, Tensor]
    rows: dict[int, TouchedRows]


def encode(delta: Delta, made_at_ms: int) -> pa.Table:
    """One row of schema ANNOUNCEMENT; the payload's sha256 is filled in here."""
    payload = save(_tensors(delta))
    digest = hashlib.sha256(payload).hexdigest()
    head = delta.head.model_copy(update={"payload_sha256": digest})
    values = {
        "kind": [DELTA],
        "made_at_ms": [made_at_ms],
        "body": [head.model_dump_json()],
        "payload": [payload],
    }
    return pa.table(values, schema=ANNOUNCEMENT)


def read_head(body: str) -> DeltaHead:
    """Raises ValueError where a delta's body is none."""
    try:
        return DeltaHead.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"a delta's body is not what this code reads: {first['loc']}: {first['msg']}"
        ) from error


def decode(
    head: DeltaHead, payload: bytes | None, served: ServedWeights, schema_hash: str
) -> Delta:
    """The delta of a payload, once it is known to be whole and to fit the served weights.

    Raises:
        ValueError: it is damaged, of other features or another model, or not finite.
    """
    if payload is None or hashlib.sha256(payload).hexdigest() != head.payload_sha256:
        raise ValueError(f"{_name(head)} is damaged: its payload has another sha256")
    if head.schema_hash != schema_hash:
        raise ValueError(
            f"{_name(head)} is of features {head.schema_hash}; the served version has {schema_hash}"
        )
    try:
        tensors = load(payload)
    except SafetensorError as error:
        raise ValueError(f"{_name(head)} is no safetensors: {error}") from error
    rows = {w: _touched(head, w, tensors) for w in served.rows if f"{ROWS}{w}{GAPS}" in tensors}
    dense = {n: torch.from_numpy(t) for n, t in tensors.items() if not n.startswith(ROWS)}
    delta = Delta(head, dense, rows)
    _check_fit(delta, served, set(tensors))
    check_finite(delta)
    return delta


def check_finite(delta: Delta) -> None:
    """Raises ValueError where a weight is not a number."""
    named = delta.dense | {f"{ROWS}{w}": values for w, (_, values) in delta.rows.items()}
    if wild := sorted(n for n, t in named.items() if not torch.isfinite(t).all()):
        raise ValueError(f"{_name(delta.head)} has weights that are not finite: {wild[:5]}")


def touched_rows(table: Tensor, touched: Tensor) -> TouchedRows:
    """The rows of a table [rows, w] that a mask [rows] names, as they are now."""
    ids = touched.nonzero().flatten()
    return TouchedRows(ids, table[ids.to(table.device)].to("cpu", torch.float32))


def _tensors(delta: Delta) -> dict[str, np.ndarray]:
    tensors = {n: t.contiguous().numpy() for n, t in delta.dense.items()}
    for width, (ids, values) in delta.rows.items():
        gaps = np.diff(ids.numpy(), prepend=0)
        _check_rising(delta.head, width, gaps)
        short = np.min_scalar_type(int(gaps.max(initial=0)))
        tensors[f"{ROWS}{width}{GAPS}"] = gaps.astype(short)
        tensors[f"{ROWS}{width}"] = values.contiguous().numpy()
    return tensors


def _touched(head: DeltaHead, width: int, tensors: Mapping[str, np.ndarray]) -> TouchedRows:
    gaps, values = tensors[f"{ROWS}{width}{GAPS}"], tensors.get(f"{ROWS}{width}")
    if values is None or values.dtype != np.float32 or values.shape != (*gaps.shape, width):
        raise ValueError(f"{_name(head)} needs {len(gaps)} rows of {width} numbers of 32 bits")
    if gaps.dtype not in (np.uint8, np.uint16, np.uint32):
        raise ValueError(f"{_name(head)} counts rows of width {width} as {gaps.dtype}")
    _check_rising(head, width, gaps)
    return TouchedRows(torch.from_numpy(np.cumsum(gaps, dtype=np.int64)), torch.from_numpy(values))


def _check_rising(head: DeltaHead, width: int, gaps: np.ndarray) -> None:
    if not (gaps[1:] > 0).all():
        raise ValueError(f"{_name(head)} must name each row of width {width} once, rising")


def _check_fit(delta: Delta, served: ServedWeights, names: set[str]) -> None:
    expected = {n: tuple(t.shape) for n, t in served.dense.items()}
    found = {n: tuple(t.shape) for n, t in delta.dense.items()}
    if found != expected or any(t.dtype != torch.float32 for t in delta.dense.values()):
        different = sorted(n for n in {*expected, *found} if expected.get(n) != found.get(n))
        raise ValueError(f"{_name(delta.head)} is of another model: {different[:5]} differ")
    known = {*found, *(f"{ROWS}{w}" for w in delta.rows), *(f"{ROWS}{w}{GAPS}" for w in delta.rows)}
    if names - known:
        raise ValueError(f"{_name(delta.head)} has unknown weights: {sorted(names - known)[:5]}")
    for width, (ids, _) in delta.rows.items():
        if len(ids) and int(ids[-1]) >= len(served.rows[width]):
            raise ValueError(
                f"{_name(delta.head)} has row {int(ids[-1])} of width {width}; the served "
                f"version has {len(served.rows[width])}"
            )


def _name(head: DeltaHead) -> str:
    return f"the delta of {head.run} up to window {head.window}"
