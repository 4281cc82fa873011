"""A version as files: what a server needs to score, and to know that it scores right.

ranker.safetensors   served weights (backbone, LoRA, main head; none that only training needs), rows
version.json         features, model, stream position
golden.arrow         a few requests and the scores that this version must give them
manifest.json        sha256 of every file; written last

Nothing is unpickled.
"""

import copy
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from easq.encoding import encode
from easq.features import WIDTHS, Columns, FeatureSpec
from easq.manifest import MANIFEST, check_files, write_manifest
from easq.model.build import Ranker, build_ranker
from easq.model.config import ModelConfig
from easq.model.embedding import EmbeddingTables
from easq.samples import flatten, sample_schema
from easq.train.position import Position

FORMAT = 1
GOLDEN_TOLERANCE = 1e-5
CPU = torch.device("cpu")
TRAINING_ONLY = ("ranker.satisfaction.", "ranker.behaviours.")
FILES = ("ranker.safetensors", "version.json", "golden.arrow")


class VersionFile(BaseModel):
    """Contents of version.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    features: FeatureSpec
    model: ModelConfig
    position: Position
    run: str | None = None
    """The run that learnt it, whose deltas lead on from it."""


class ServedRanker:
    """y-hat of one version, by the code that trained it; float32 on the CPU."""

    def __init__(self, file: VersionFile, ranker: Ranker, tables: EmbeddingTables) -> None:
        self.file, self.ranker, self.tables = file, ranker.eval(), tables

    @property
    def spec(self) -> FeatureSpec:
        return self.file.features

    def weights(self) -> dict[str, Tensor]:
        """The served weights by name, as views: to write them is to change the scores."""
        dense = {f"ranker.{name}": t for name, t in self.ranker.state_dict().items()}
        served = {n: t for n, t in dense.items() if not n.startswith(TRAINING_ONLY)}
        return served | {f"rows.{w}": t for w, t in self.tables.weight.items()}

    def copy(self) -> "ServedRanker":
        """Weights of its own. What is read from files shares the pages of all who read them."""
        return ServedRanker(self.file, copy.deepcopy(self.ranker), self.tables.copy())

    @torch.inference_mode()
    def score(self, columns: Columns) -> np.ndarray:
        """Scores of all candidates, float32 [N], higher is better."""
        inputs = encode(self.spec, columns)
        return self.ranker.serve(self.tables.tokens(inputs), inputs.slots).numpy()


def save_version(
    directory: Path,
    weights: dict[str, Tensor],
    file: VersionFile,
    golden: pa.Table,
) -> None:
    """Write a version from a checkpoint's weights (`ranker.…`, `rows.…`).

    `golden` holds a few samples; their scores are computed here, by the served graph.
    """
    served = {n: t.contiguous() for n, t in weights.items() if not n.startswith(TRAINING_ONLY)}
    save_file(served, directory / "ranker.safetensors")
    (directory / "version.json").write_text(file.model_dump_json(indent=2))
    golden = golden.select(sample_schema(file.features).names)
    scores = _assemble(file, served).score(flatten(golden).columns)
    _write_golden(directory / "golden.arrow", golden, scores)
    write_manifest(directory, FILES)


def load_ranker(directory: Path) -> ServedRanker:
    """Load a version after checking every file against the manifest.

    Raises:
        ValueError: a file is missing, damaged or of another format, or the golden requests
            score differently.
    """
    check_manifest(directory)
    try:
        file = VersionFile.model_validate_json((directory / "version.json").read_text())
        weights = load_file(directory / "ranker.safetensors")
    except (ValidationError, SafetensorError) as error:
        raise ValueError(f"{directory} is no version this code can read: {error}") from error
    if file.format != FORMAT:
        raise ValueError(f"{directory} has format {file.format}; this code reads {FORMAT}")
    ranker = _assemble(file, weights)
    verify(ranker, directory)
    return ranker


def verify(ranker: ServedRanker, directory: Path) -> None:
    """Finite weights, and the golden requests score as they did when the version was made."""
    golden, expected = _read_golden(directory / "golden.arrow")
    scores = ranker.score(flatten(golden).columns)
    if not np.isfinite(scores).all():
        raise ValueError(f"{directory} gives scores that are not finite; it must not be served")
    difference = float(np.abs(scores - expected).max(initial=0.0))
    if difference > GOLDEN_TOLERANCE:
        raise ValueError(
            f"{directory} scores its golden requests {difference:.2g} off; "
            f"at most {GOLDEN_TOLERANCE:g} is allowed. It must not be served."
        )


def _assemble(file: VersionFile, weights: dict[str, Tensor]) -> ServedRanker:
    ranker = build_ranker(file.features, file.model, 0, CPU, torch.float32)
    dense = {n.removeprefix("ranker."): t for n, t in weights.items() if n.startswith("ranker.")}
    missing = set(ranker.state_dict()) - set(dense)
    absent = {n for n in missing if not f"ranker.{n}".startswith(TRAINING_ONLY)}
    unknown = set(dense) - set(ranker.state_dict())
    if absent or unknown:
        raise ValueError(f"weights and model differ: missing {absent}, unknown {unknown}")
    tables = {int(n.removeprefix("rows.")): t for n, t in weights.items() if n.startswith("rows.")}
    _check_numbers(file, weights, tables)
    try:
        ranker.load_state_dict(dense, strict=False)
    except RuntimeError as error:  # how torch says that shapes differ
        raise ValueError(f"weights and model differ: {error}") from error
    return ServedRanker(file, ranker, EmbeddingTables(tables))


def _check_numbers(
    file: VersionFile, weights: dict[str, Tensor], tables: dict[int, Tensor]
) -> None:
    """Every weight is finite, and the tables have the rows that ids are hashed into."""
    if wild := sorted(n for n, t in weights.items() if not torch.isfinite(t).all()):
        raise ValueError(f"{wild[:5]} hold numbers that are not finite; they must not be served")
    expected = {w: (file.features.table_rows(w), w) for w in WIDTHS if file.features.table_rows(w)}
    found = {w: tuple(t.shape) for w, t in tables.items()}
    if found != expected:
        raise ValueError(f"embedding rows are {found}, and the features need {expected}")


def check_manifest(directory: Path) -> None:
    """Refuse a version of which a file is missing or differs from its digest (DamagedError)."""
    check_files(directory, FILES)


def _write_golden(path: Path, golden: pa.Table, scores: np.ndarray) -> None:
    lengths = flatten_lengths(golden)
    offsets = pa.array(np.r_[0, np.cumsum(lengths)], pa.int32())
    column = pa.ListArray.from_arrays(offsets, pa.array(scores, pa.float32()))
    table = golden.append_column("golden_score", column)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read_golden(path: Path) -> tuple[pa.Table, np.ndarray]:
    with pa.OSFile(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    scores = table.column("golden_score").combine_chunks().flatten().to_numpy()
    return table.drop_columns(["golden_score"]), scores


def flatten_lengths(table: pa.Table) -> np.ndarray:
    """Candidates of each request."""
    return np.diff(table.combine_chunks().column("item_id").chunk(0).offsets.to_numpy())


def digest_of(directory: Path) -> str:
    """One short digest of a version: of its manifest."""
    return hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()[:16]
