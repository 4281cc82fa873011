"""Embedding rows, not tables: a step touches the rows of its batch and no others.

The rows of a batch are gathered once (unique), differentiated as one block, and written back
by row, so a step costs the same whatever the size of the table. Rows are replicated on every
worker.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from easq.encoding import Inputs
from easq.features import WIDTHS, FeatureSpec

INITIAL_STD = 0.02


class Rows(NamedTuple):
    """The distinct rows of a batch, by width: ids, their values, and who uses which."""

    ids: dict[int, Int64[Tensor, "row"]]
    block: dict[int, Float[Tensor, "row w"]]
    users: dict[int, Int64[Tensor, "request field"]]
    items: dict[int, Int64[Tensor, "candidate field"]]


class EmbeddingTables:
    """One table a width (64, 32, 8); a feature owns a range of rows of the table of its width."""

    def __init__(self, weight: dict[int, Float[Tensor, "rows w"]]) -> None:
        self.weight = weight

    @classmethod
    def initial(
        cls, spec: FeatureSpec, seed: int, device: torch.device, dtype: torch.dtype
    ) -> "EmbeddingTables":
        """Small normal rows, the same for a seed on every worker and device."""
        generator = torch.Generator().manual_seed(seed)
        weight = {}
        for width in WIDTHS:
            if spec.table_rows(width):
                rows = torch.empty(spec.table_rows(width), width, dtype=torch.float32)
                rows.normal_(std=INITIAL_STD, generator=generator)
                weight[width] = rows.to(device, dtype)
        return cls(weight)

    def copy(self) -> "EmbeddingTables":
        """The rows as they are now, in memory of their own."""
        return EmbeddingTables({width: rows.clone() for width, rows in self.weight.items()})

    def gather(self, inputs: Inputs) -> Rows:
        """The batch's distinct rows as leaves that collect gradients."""
        ids, block, users, items = {}, {}, {}, {}
        for width, weight in self.weight.items():
            fields = {"user": inputs.user_ids.get(width), "item": inputs.item_ids.get(width)}
            used = [f.flatten() for f in fields.values() if f is not None]
            ids[width], inverse = torch.unique(torch.cat(used), return_inverse=True)
            block[width] = weight[ids[width]].requires_grad_()
            num_user = 0
            if (user := fields["user"]) is not None:
                num_user = user.numel()
                users[width] = inverse[:num_user].view(user.shape)
            if (item := fields["item"]) is not None:
                items[width] = inverse[num_user:].view(item.shape)
        return Rows(ids, block, users, items)

    def tokens(self, inputs: Inputs) -> Float[Tensor, "candidate k"]:
        """Tokens read straight from the tables, for scoring without learning."""
        return _tokens(self.weight, inputs.user_ids, inputs.item_ids, inputs)


def tokens(rows: Rows, inputs: Inputs) -> Float[Tensor, "candidate k"]:
    """x of Eq. 6, differentiable to the gathered rows."""
    return _tokens(rows.block, rows.users, rows.items, inputs)


def _tokens(
    values: dict[int, Tensor], users: dict[int, Tensor], items: dict[int, Tensor], inputs: Inputs
) -> Float[Tensor, "candidate k"]:
    """[user and context embeddings | item embeddings | dense numbers], one row a candidate."""
    of_user = [values[w][index].flatten(1) for w, index in users.items()]
    of_item = [values[w][index].flatten(1) for w, index in items.items()]
    repeated = [torch.cat(of_user, dim=1)[inputs.slots.request]] if of_user else []
    return torch.cat([*repeated, *of_item, inputs.dense], dim=1)
