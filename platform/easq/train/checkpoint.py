"""A checkpoint: weights, optimisers, answer memory and stream position in one directory.

weights.safetensors, optimisers.safetensors, memory.arrow (if anybody answered), state.json, and
manifest.json with the sha256 of each. Nothing is pickled. The position lies beside the weights
that have learnt up to it, so a restart neither loses nor repeats a window.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from easq.answer_memory import AnswerMemory
from easq.manifest import write_manifest
from easq.train.position import (
    MEMORY,
    OPTIMISERS,
    STATE,
    WEIGHTS,
    ForeignCheckpointError,
    Position,
    check_schema,
    read_position,
)
from easq.train.step import State


class Contents(NamedTuple):
    """Everything that the next step depends on."""

    weights: dict[str, Tensor]
    optimisers: dict[str, Tensor]
    memory: AnswerMemory
    position: Position


def contents_of(
    state: State, memory: AnswerMemory, seen: dict[int, Tensor], position: Position
) -> Contents:
    """What a checkpoint has, as it is: the next step changes it."""
    optimisers = _optimisers_of(state) | {f"seen.{w}": t for w, t in seen.items()}
    return Contents(weights_of(state), optimisers, memory, position)


def copied(contents: Contents, buffers: Contents | None) -> Contents:
    """The same in memory of its own, that of an earlier copy where it fits."""
    before = (buffers.weights, buffers.optimisers) if buffers is not None else ({}, {})
    return Contents(
        _copied(contents.weights, before[0]),
        _copied(contents.optimisers, before[1]),
        contents.memory.copy(),
        contents.position,
    )


def _copied(tensors: dict[str, Tensor], buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    copies = {}
    for name, tensor in tensors.items():
        copy = buffers.get(name)
        if copy is None or copy.shape != tensor.shape or copy.dtype != tensor.dtype:
            copy = torch.empty(tensor.shape, dtype=tensor.dtype)
        copies[name] = copy.copy_(tensor.detach())
    return copies


def write_checkpoint(directory: Path, contents: Contents) -> None:
    """Write it into an empty directory; the manifest comes last."""
    names = [WEIGHTS, OPTIMISERS, STATE]
    save_file(_contiguous(contents.weights), directory / WEIGHTS)
    save_file(_contiguous(contents.optimisers), directory / OPTIMISERS)
    if (table := contents.memory.to_table()) is not None:
        names.append(MEMORY)
        with pa.OSFile(str(directory / MEMORY), "wb") as sink:
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    (directory / STATE).write_text(contents.position.model_dump_json(indent=2))
    write_manifest(directory, names)


def load_checkpoint(
    directory: Path, state: State, memory: AnswerMemory, seen: dict[int, Tensor], schema_hash: str
) -> Position:
    """Fill state, memory and seen ids from a directory whose files were checked, or none of them.

    Raises:
        ForeignCheckpointError: it is of other features, another model or a later format.
    """
    position = read_position(directory)
    check_schema(directory, position, schema_hash)
    weights, optimisers = load_file(directory / WEIGHTS), load_file(directory / OPTIMISERS)
    rows = _moments_of_rows(state) | {f"seen.{width}": ids for width, ids in seen.items()}
    _check_fit(directory, weights_of(state), weights)
    _check_fit(directory, rows, {n: t for n, t in optimisers.items() if n in rows})
    found = weights | optimisers
    for name, target in (weights_of(state) | rows).items():
        target.copy_(found[name])
    _load_optimisers(state, optimisers)
    if (directory / MEMORY).exists():
        with pa.OSFile(str(directory / MEMORY)) as source:
            memory.load(pa.ipc.open_file(source).read_all())
    return position


def weights_of(state: State) -> dict[str, Tensor]:
    """All weights by name: `ranker.…` and `rows.<width>`."""
    dense = {f"ranker.{name}": p.detach() for name, p in state.ranker.state_dict().items()}
    return dense | {f"rows.{w}": t for w, t in state.tables.weight.items()}


def _adams(state: State) -> dict[str, torch.optim.Adam]:
    named = {
        "main": state.main,
        "satisfaction": state.satisfaction,
        "behaviours": state.behaviours,
    }
    return {name: adam for name, adam in named.items() if adam is not None}


def _optimisers_of(state: State) -> dict[str, Tensor]:
    tensors = {"rows.steps": torch.tensor(state.rows.steps)} | _moments_of_rows(state)
    for name, adam in _adams(state).items():
        for index, moments in adam.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
    return tensors


def _moments_of_rows(state: State) -> dict[str, Tensor]:
    kinds = {"mean": state.rows.mean, "square": state.rows.square}
    return {f"rows.{kind}.{w}": t for kind, moments in kinds.items() for w, t in moments.items()}


def _load_optimisers(state: State, tensors: dict[str, Tensor]) -> None:
    state.rows.steps = int(tensors["rows.steps"])
    for name, adam in _adams(state).items():
        tree: dict[str, Any] = adam.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}."):
                _, index, moment = key.split(".", 2)
                moments.setdefault(int(index), {})[moment] = value
        adam.load_state_dict(tree | {"state": moments})


def _check_fit(directory: Path, targets: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    """Names and shapes are the same."""
    ours, found = ({n: tuple(t.shape) for n, t in each.items()} for each in (targets, values))
    if different := sorted(n for n in ours | found if ours.get(n) != found.get(n)):
        name = different[0]
        raise ForeignCheckpointError(
            f"{directory} belongs to another model: {len(different)} tensors differ, {name} has "
            f"shape {found.get(name)} and this run's {ours.get(name)}. Choose a new run.name."
        )


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
