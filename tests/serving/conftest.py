"""Small versions as files, and requests that they can rank."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from fastapi.testclient import TestClient

from easq.artefact import ServedRanker, VersionFile, digest_of, save_version
from easq.features import Categorical, Columns, Dense, FeatureSpec
from easq.model.build import build_ranker
from easq.model.config import ModelConfig
from easq.model.embedding import EmbeddingTables
from easq.registry import Version
from easq.samples import sample_schema
from easq.train.position import Position
from serving.api import build_api
from serving.config import ServingSettings
from serving.refresh import Refresher
from serving.replica import RankerReplica

SPEC = FeatureSpec(
    categorical=(
        Categorical(name="user_id", of="user", width=8, rows=50),
        Categorical(name="hour", of="context", width=8, rows=24),
        Categorical(name="item_id", of="item", width=8, rows=200),
        Categorical(name="author_id", of="item", width=8, rows=50),
    ),
    dense=(Dense(name="mean_watched", of="user"), Dense(name="log_duration", of="item")),
    upstream=("long_view",),
    scenarios=("main", "discovery"),
)
MODEL = ModelConfig(width=16, heads=2)


def golden_samples(spec: FeatureSpec, candidates: int) -> pa.Table:
    """One made-up request."""
    rng = np.random.default_rng(5)

    def column(field: pa.Field) -> list:
        is_list = pa.types.is_list(field.type)
        dtype = field.type.value_type if is_list else field.type
        size = candidates if is_list else 1
        if pa.types.is_string(dtype):
            values = ["main" if field.name == "scenario" else "golden"] * size
        elif pa.types.is_floating(dtype):
            values = rng.normal(size=size).astype(np.float32).tolist()
        elif pa.types.is_boolean(dtype):
            values = [False] * size
        else:
            values = rng.integers(0, 100, size).tolist()
        return [values] if is_list else values

    schema = sample_schema(spec)
    return pa.table([pa.array(column(f), f.type) for f in schema], schema=schema)


def write_version(
    directory: Path, seed: int, spec: FeatureSpec = SPEC, model: ModelConfig = MODEL
) -> Path:
    """A version with the first weights of a seed; different seeds score differently."""
    directory.mkdir(parents=True)
    cpu = torch.device("cpu")
    ranker = build_ranker(spec, model, seed, cpu, torch.float32)
    tables = EmbeddingTables.initial(spec, seed, cpu, torch.float32)
    weights = {f"ranker.{n}": t for n, t in ranker.state_dict().items()}
    weights |= {f"rows.{width}": t for width, t in tables.weight.items()}
    file = VersionFile(features=spec, model=model, position=Position(schema_hash=spec.schema_hash))
    save_version(directory, weights, file, golden_samples(spec, candidates=7))
    return directory


class ShelfOfVersions:
    """A registry in memory, with the three verbs that a replica uses."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.named: Version | None = None
        self.away: OSError | None = None
        self.evictions = 0

    def publish(self, number: int) -> Path:
        """Version `number`, with the weights of that seed, becomes champion."""
        path = write_version(self.directory / str(number), seed=number)
        self.named = Version("easq", number, digest_of(path), f"run{number}", str(path))
        return path

    def champion(self) -> Version | None:
        if self.away is not None:
            raise self.away
        return self.named

    def fetch(self, version: Version) -> Path:
        return Path(version.uri)

    def evict(self) -> None:
        self.evictions += 1


@pytest.fixture
def shelf(tmp_path: Path) -> ShelfOfVersions:
    return ShelfOfVersions(tmp_path)


@pytest.fixture
def refresher(shelf: ShelfOfVersions) -> Refresher:
    """Not started: tests call `look`."""
    return Refresher(shelf.champion, shelf.fetch, shelf.evict, poll_seconds=1.0)


@pytest.fixture
def replica(refresher: Refresher, tmp_path: Path) -> RankerReplica:
    settings = ServingSettings(model_name="easq", max_candidates=50, cache_dir=tmp_path)
    return RankerReplica(settings, refresher, "r0")


@pytest.fixture
def client(replica: RankerReplica) -> TestClient:
    return TestClient(build_api(replica), raise_server_exceptions=False)


@pytest.fixture
def body() -> dict:
    """A whole request."""
    return {
        "request_id": "r1",
        "user": {"user_id": 7, "mean_watched": 0.31},
        "scenario": "main",
        "request_time_ms": 1_650_000_000_000,
        "candidates": {
            "item_id": [501, 502, 503],
            "author_id": [31, 8, 31],
            "log_duration": [0.4, -1.2, 0],
        },
        "upstream": {"long_view": [0.61, 0.12, 0.33]},
    }


def scores_by_hand(ranker: ServedRanker, body: dict) -> dict[int, float]:
    """Scores by item, from arrays that are written out here."""
    item, user = body["candidates"], body["user"]
    columns = Columns(
        {
            "user_id": np.array([user["user_id"]]),
            "user.mean_watched": np.array([user["mean_watched"]], dtype=np.float32),
        },
        {
            "item_id": np.array(item["item_id"]),
            "item.author_id": np.array(item["author_id"]),
            "item.log_duration": np.array(item["log_duration"], dtype=np.float32),
            "upstream.long_view": np.array(body["upstream"]["long_view"], dtype=np.float32),
        },
        [body["scenario"]],
        np.array([body["request_time_ms"]]),
        np.array([len(item["item_id"])]),
    )
    return dict(zip(item["item_id"], ranker.score(columns).tolist(), strict=True))


@pytest.fixture
def offline_scores() -> Callable[[ServedRanker, dict], dict[int, float]]:
    return scores_by_hand


@pytest.fixture
def make_version(tmp_path: Path) -> Callable[..., Path]:
    """make_version(seed, spec, model) -> the directory of a version with a seed's first weights."""

    def make(seed: int, spec: FeatureSpec = SPEC, model: ModelConfig = MODEL) -> Path:
        return write_version(tmp_path / f"made-{seed}", seed, spec, model)

    return make
