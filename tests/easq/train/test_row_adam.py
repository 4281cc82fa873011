"""Lazy Adam on rows is torch's SparseAdam, row for row."""

import torch

from easq.model.embedding import EmbeddingTables
from easq.train.row_adam import RowAdam


def test_rows_move_as_under_sparse_adam():
    torch.manual_seed(0)
    start = torch.randn(20, 8, dtype=torch.float64)
    tables = EmbeddingTables({8: start.clone()})
    ours = RowAdam(tables, learning_rate=0.01)
    weight = torch.nn.Parameter(start.clone())
    theirs = torch.optim.SparseAdam([weight], lr=0.01)
    for step in range(5):
        ids = torch.arange(step, 20, 3)  # other rows at each step, some again
        gradient = torch.randn(len(ids), 8, dtype=torch.float64)
        ours.begin_step()
        ours.update(tables, 8, ids, gradient)
        weight.grad = torch.sparse_coo_tensor(ids[None], gradient, weight.shape)
        theirs.step()
        # SparseAdam adds epsilon before the bias correction, Adam and we after it.
        torch.testing.assert_close(tables.weight[8], weight.detach(), rtol=0, atol=1e-6)


def test_a_row_without_gradient_stands_still_and_is_not_touched():
    tables = EmbeddingTables({8: torch.ones(3, 8)})
    adam = RowAdam(tables, learning_rate=0.01)
    adam.begin_step()
    gradient = torch.stack([torch.ones(8), torch.zeros(8)])
    assert adam.update(tables, 8, torch.tensor([0, 2]), gradient).tolist() == [0]
    assert torch.equal(tables.weight[8][1:], torch.ones(2, 8))
