"""One training step (EASQ Algorithm 1, lines 4-12), alone or in step with other workers."""

from typing import NamedTuple

import torch
from torch import Tensor

from easq.features import FeatureSpec
from easq.model.build import Ranker, build_ranker
from easq.model.embedding import EmbeddingTables, Rows, tokens
from easq.model.ranker import Scores
from easq.train.batch import Batch
from easq.train.collective import RowGradients, sum_gradients, sum_rows
from easq.train.config import TrainConfig
from easq.train.method import Method, Teacher
from easq.train.methods import EMER, METHODS
from easq.train.objective import Weights, loss_sums, total
from easq.train.row_adam import RowAdam


class State(NamedTuple):
    """All that learns; the same on every worker after every step."""

    ranker: Ranker
    tables: EmbeddingTables
    main: torch.optim.Adam
    satisfaction: torch.optim.Adam | None
    rows: RowAdam
    teacher: Teacher | None = None
    behaviours: torch.optim.Adam | None = None


class StepResult(NamedTuple):
    """What a step did. Sums are this rank's; the touched rows are everybody's."""

    losses: Tensor  # [4] sums: main, satisfaction, alignment, behaviours
    weights: Weights  # of everybody
    scores: Scores | None
    touched: dict[int, Tensor]  # row ids by width


def initial_state(
    config: TrainConfig, spec: FeatureSpec, device: torch.device, dtype: torch.dtype
) -> State:
    """First weights and optimisers for a seed, the same on every worker."""
    ranker = build_ranker(spec, config.model, config.run.seed, device, dtype)
    tables = EmbeddingTables.initial(spec, config.run.seed, device, dtype)
    learning_rate = config.optim.learning_rate
    satisfaction = ranker.satisfaction_parameters()
    make_teacher = METHODS[config.model.method].teacher
    return State(
        ranker,
        tables,
        torch.optim.Adam(ranker.main_parameters(), lr=learning_rate),
        torch.optim.Adam(satisfaction, lr=learning_rate) if satisfaction else None,
        RowAdam(tables, config.optim.rows_learning_rate),
        make_teacher(config, spec) if make_teacher is not None else None,
        torch.optim.Adam(heads, lr=learning_rate)
        if (heads := ranker.behaviour_parameters())
        else None,
    )


def train_step(state: State, batch: Batch, config: TrainConfig) -> StepResult:
    """Score, differentiate and update. Every worker must call it for every step of a window."""
    method = _method(state, config)
    weights = method.weights(batch, config)
    rows = state.tables.gather(batch.inputs)
    scores = _score(state.ranker, rows, batch)
    parts = method.terms(scores, _taught(state, batch), batch, config)
    value = total(parts, weights, config.loss)
    if value.requires_grad:
        value.backward()
    touched = _update(state, method, weights, rows)
    return StepResult(loss_sums(parts), weights, scores, touched)


def _method(state: State, config: TrainConfig) -> Method:
    """A method whose teacher is not ready learns from behaviour alone."""
    waiting = state.teacher is not None and not state.teacher.ready
    return EMER if waiting else METHODS[config.model.method]


def _taught(state: State, batch: Batch) -> Tensor | None:
    if state.teacher is None or not state.teacher.ready:
        return None
    if not len(batch.inputs.slots.request):
        return batch.main.weight.new_zeros(0)
    return state.teacher.scores(batch.inputs)


def _score(ranker: Ranker, rows: Rows, batch: Batch) -> Scores:
    if len(batch.inputs.slots.request):
        return ranker(tokens(rows, batch.inputs), batch.inputs.slots)
    nothing = batch.main.weight.new_zeros(0)
    return Scores(nothing, nothing, nothing[:, None], nothing[:, None], None)


def _update(state: State, method: Method, weights: Weights, rows: Rows) -> dict[int, Tensor]:
    """A pathway without a pair anywhere stands still: Adam would drift on its momentum."""
    moving: list[torch.optim.Adam] = []
    shared = weights.satisfaction if method.shared_bottom else 0.0
    if weights.main or weights.alignment or shared:
        moving.append(state.main)
    if state.satisfaction is not None and weights.satisfaction:
        moving.append(state.satisfaction)
    if state.behaviours is not None and weights.behaviours:
        moving.append(state.behaviours)
    sum_gradients([p for adam in moving for group in adam.param_groups for p in group["params"]])
    for adam in moving:
        adam.step()
        adam.zero_grad()
    return _update_rows(state, rows) if state.main in moving or weights.behaviours else {}


def _update_rows(state: State, rows: Rows) -> dict[int, Tensor]:
    mine = {
        width: RowGradients(
            rows.ids[width], torch.zeros_like(block) if block.grad is None else block.grad
        )
        for width, block in rows.block.items()
    }
    state.rows.begin_step()
    return {
        width: state.rows.update(state.tables, width, *changes)
        for width, changes in sum_rows(mine).items()
    }
