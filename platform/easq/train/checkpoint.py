"""A checkpoint: weights, optimisers, answer memory and stream position in one directory.

weights.safetensors, optimisers.safetensors, memory.arrow (if anybody answered), state.json.
Nothing is pickled. The position lies beside the weights that have learnt up to it, so a
restart neither loses nor repeats a window.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from easq.answer_memory import AnswerMemory
from easq.train.position import FORMAT, Position
from easq.train.step import State

OPTIMISERS = "optimisers.safetensors"


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
    """Write it into an empty directory; state.json comes last."""
    save_file(_contiguous(contents.weights), directory / "weights.safetensors")
    save_file(_contiguous(contents.optimisers), directory / OPTIMISERS)
    if (table := contents.memory.to_table()) is not None:
        with pa.OSFile(str(directory / "memory.arrow"), "wb") as sink:
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
    (directory / "state.json").write_text(contents.position.model_dump_json(indent=2))


def load_checkpoint(
    directory: Path, state: State, memory: AnswerMemory, seen: dict[int, Tensor], schema_hash: str
) -> Position:
    """Fill state, memory and seen ids from a directory; refuses another schema or format."""
    position = Position.model_validate_json((directory / "state.json").read_text())
    if position.format != FORMAT or position.schema_hash != schema_hash:
        raise ValueError(
            f"{directory} was written with features {position.schema_hash} (format "
            f"{position.format}); this run has {schema_hash} (format {FORMAT}). "
            "Choose a new run.name."
        )
    _copy_into(weights_of(state), load_file(directory / "weights.safetensors"))
    optimisers = load_file(directory / OPTIMISERS)
    _load_optimisers(state, optimisers)
    for width, rows in seen.items():
        rows.copy_(optimisers[f"seen.{width}"])
    if (directory / "memory.arrow").exists():
        with pa.OSFile(str(directory / "memory.arrow")) as source:
            memory.load(pa.ipc.open_file(source).read_all())
    return position


def weights_of(state: State) -> dict[str, Tensor]:
    """All weights by name: `ranker.…` and `rows.<width>`."""
    dense = {f"ranker.{name}": p.detach() for name, p in state.ranker.state_dict().items()}
    return dense | {f"rows.{w}": t for w, t in state.tables.weight.items()}


def _adams(state: State) -> dict[str, torch.optim.Adam]:
    named = {"main": state.main}
    return named if state.satisfaction is None else named | {"satisfaction": state.satisfaction}


def _optimisers_of(state: State) -> dict[str, Tensor]:
    tensors = {"rows.steps": torch.tensor(state.rows.steps)}
    for kind in ("mean", "square"):
        for width, moment in getattr(state.rows, kind).items():
            tensors[f"rows.{kind}.{width}"] = moment
    for name, adam in _adams(state).items():
        for index, moments in adam.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
    return tensors


def _load_optimisers(state: State, tensors: dict[str, Tensor]) -> None:
    state.rows.steps = int(tensors["rows.steps"])
    for kind in ("mean", "square"):
        for width, moment in getattr(state.rows, kind).items():
            moment.copy_(tensors[f"rows.{kind}.{width}"])
    for name, adam in _adams(state).items():
        tree: dict[str, Any] = adam.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}."):
                _, index, moment = key.split(".", 2)
                moments.setdefault(int(index), {})[moment] = value
        adam.load_state_dict(tree | {"state": moments})


def _copy_into(targets: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    if targets.keys() != values.keys():
        different = sorted(targets.keys() ^ values.keys())
        raise ValueError(
            f"the checkpoint belongs to another model: {different[:5]} are in one only. "
            "Choose a new run.name."
        )
    for name, target in targets.items():
        target.copy_(values[name])


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
