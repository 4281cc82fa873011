"""The few collectives a step needs; without a process group they are the identity."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class RowGradients(NamedTuple):
    """Rows of one table and what they have to change: ids [n], gradient [n, w]."""

    ids: Tensor
    gradient: Tensor


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def all_sum(tensor: Tensor) -> Tensor:
    """Sum over workers, in place."""
    if dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def all_max(tensor: Tensor) -> Tensor:
    """Element-wise maximum over workers, in place."""
    if dist.is_initialized():
        dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return tensor


def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Sum gradients over workers in one flat exchange; a missing one counts as zero."""
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    if dist.is_initialized() and gradients:
        flat = all_sum(torch.cat([g.flatten() for g in gradients]))
        parts = flat.split([g.numel() for g in gradients])
        gradients = [part.view_as(g) for part, g in zip(parts, gradients, strict=True)]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def sum_rows(rows: dict[int, RowGradients]) -> dict[int, RowGradients]:
    """Of each table, by width: the union of all workers' rows and the sum of their gradients.

    Three exchanges whatever the number of tables: a step has little time between them.
    """
    if not dist.is_initialized():
        return rows
    widths = list(rows)
    counts = _everybodys_counts([len(rows[w].ids) for w in widths], rows[widths[0]].ids.device)
    numbers = [[n * w for n, w in zip(count, widths, strict=True)] for count in counts]
    ids = _gather(torch.cat([rows[w].ids for w in widths]), [sum(c) for c in counts])
    flat = _gather(torch.cat([rows[w].gradient.flatten() for w in widths]), [*map(sum, numbers)])
    split_ids = [part.split(count) for part, count in zip(ids, counts, strict=True)]
    split_flat = [part.split(number) for part, number in zip(flat, numbers, strict=True)]
    return {
        width: _union(
            torch.cat([parts[k] for parts in split_ids]),
            torch.cat([parts[k] for parts in split_flat]).view(-1, width),
        )
        for k, width in enumerate(widths)
    }


def _union(ids: Tensor, gradient: Tensor) -> RowGradients:
    union, where = torch.unique(ids, return_inverse=True)
    total = gradient.new_zeros(len(union), gradient.shape[1]).index_add_(0, where, gradient)
    return RowGradients(union, total)


def all_rows(rows: Tensor) -> Tensor:
    """Every worker's rows [n, ...] one after another, in the order of ranks."""
    if not dist.is_initialized():
        return rows
    counts = _everybodys_counts([len(rows)], rows.device)
    return torch.cat(_gather(rows, [count[0] for count in counts]))


def _everybodys_counts(mine: list[int], device: torch.device) -> list[list[int]]:
    own = torch.tensor(mine, device=device)
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return [part.tolist() for part in parts]


def _gather(rows: Tensor, lengths: list[int]) -> list[Tensor]:
    """Every worker's rows, of which there are so many; padded on the way, for all must agree."""
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    return [part[:length] for part, length in zip(parts, lengths, strict=True)]
