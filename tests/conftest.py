"""Shapes in annotations are checked while tests run; small random histories for whoever asks."""

import os
import shutil

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from jaxtyping import install_import_hook

install_import_hook(
    ["easq.model", "easq.encoding", "easq.losses", "easq.pairs", "easq.metrics"],
    "beartype.beartype",
)

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.announce import Announcer
from easq.artefact import VersionFile, digest_of, save_version
from easq.events import BEHAVIOURS, Answer
from easq.features import Categorical, Dense, FeatureSpec
from easq.history import History, Source
from easq.history_write import write_history
from easq.log.interface import SAMPLES, Log
from easq.log.sqlite import SqliteLog
from easq.samples import SEALED, sample_schema
from easq.state_digest import ServedWeights, StateDigest
from easq.train.checkpoint import weights_of, write_checkpoint
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.published import Published
from easq.train.share import share_of

SPEC = FeatureSpec(
    categorical=(
        Categorical(name="user_id", of="user", width=64, rows=1000),
        Categorical(name="scenario", of="context", width=8, rows=16),
        Categorical(name="item_id", of="item", width=64, rows=1000),
        Categorical(name="tag", of="item", width=8, rows=64),
    ),
    dense=(Dense(name="activity", of="user"),),
    upstream=("like", "long_view"),
    scenarios=("main", "explore"),
)


def sample_requests(requests: int, seed: int = 0, answer_share: float = 0.1) -> pa.Table:
    """Requests a second apart, 2 to 8 candidates, 30 users, answers among the exposed."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(requests):
        m = int(rng.integers(2, 9))
        exposed = rng.random(m) < 0.8
        given = rng.choice([Answer.SATISFIED, Answer.UNCERTAIN, Answer.DISSATISFIED], m)
        answer = np.where(exposed & (rng.random(m) < answer_share), given, Answer.NONE)
        rows.append(
            {
                "request_id": f"r{i:06d}",
                "user_id": int(rng.integers(30)),
                "scenario": SPEC.scenarios[int(rng.integers(2))],
                "request_time_ms": i * 1000,
                "kind": "behaviour",
                "item_id": rng.choice(200, m, replace=False),
                "exposed": exposed,
                "watched_seconds": rng.exponential(8.0, m),
                "duration_seconds": rng.uniform(5.0, 30.0, m),
                **{f"behaviour.{name}": exposed & (rng.random(m) < 0.2) for name in BEHAVIOURS},
                "answer": answer,
                "answer_time_ms": np.where(answer != Answer.NONE, i * 1000 + 500, 0),
                "item.tag": rng.integers(0, 10, m),
                "user.activity": float(rng.normal()),
                "upstream.like": rng.random(m),
                "upstream.long_view": rng.random(m),
            }
        )
    return pa.Table.from_pylist(rows, schema=sample_schema(SPEC))


@pytest.fixture
def spec() -> FeatureSpec:
    return SPEC


@pytest.fixture
def random_samples() -> Callable[..., pa.Table]:
    """random_samples(requests, seed=0, answer_share=0.1) -> a table of samples."""
    return sample_requests


def sealed_rows(samples: pa.Table, window: int, sealed_at_ms: int) -> pa.Table:
    """Samples as a joiner seals them; what only the joiner itself reads is left at 0."""
    n = samples.num_rows
    values = {"window": window, "window_rows": n, "sealed_at_ms": sealed_at_ms}
    for field in SEALED:
        nothing = [] if pa.types.is_list(field.type) else values.get(field.name, 0)
        column = range(n) if field.name == "window_row" else [nothing] * n
        samples = samples.append_column(field, pa.array(column, field.type))
    return samples


@pytest.fixture
def seal_window() -> Callable[..., pa.Table]:
    """seal_window(samples, window, sealed_at_ms) -> rows of topic `samples`."""
    return sealed_rows


@pytest.fixture(scope="session")
def append_windows() -> Callable[..., list[pa.Table]]:
    """append_windows(log, first, count, requests=20, at_ms=0) -> the samples of each window."""

    def append(
        log: Log, first: int, count: int, requests: int = 20, at_ms: int = 0
    ) -> list[pa.Table]:
        tables = [sample_requests(requests, 1000 + first + k) for k in range(count)]
        for k, table in enumerate(tables):
            log.append(SAMPLES, 0, sealed_rows(table, first + k, at_ms))
        return tables

    return append


@pytest.fixture(scope="session")
def history_at() -> Callable[..., History]:
    """history_at(root, requests, seed=0, answer_share=0.1) -> a history of random samples."""

    def write(root: Path, requests: int, seed: int = 0, answer_share: float = 0.1) -> History:
        samples = sample_requests(requests, seed, answer_share)
        source = Source(name="random", rows=requests)
        return write_history(root, "random", SPEC, samples, [source])

    return write


@pytest.fixture
def make_history(history_at: Callable[..., History], tmp_path: Path) -> Callable[..., History]:
    """make_history(requests, seed=0, answer_share=0.1) -> a history of random samples."""

    def make(requests: int, seed: int = 0, answer_share: float = 0.1) -> History:
        return history_at(tmp_path / f"history-{seed}", requests, seed, answer_share)

    return make


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once: its migrations take seconds."""
    from easq.registry_client import connect

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def mlflow_uri(migrated_database: Path, tmp_path: Path) -> str:
    """An MLflow on a database of its own, nothing in it."""
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(migrated_database, path)
    return f"sqlite:///{path}"


class OnlineRun:
    """A learner whose windows become deltas of a log, and versions on request."""

    def __init__(
        self, history: History, folder: Path, window: int, seed: int = 0, average_steps: int = 1
    ) -> None:
        tree = {
            "run": {"name": "online", "storage": "t", "seed": seed},
            "data": {"history": str(history.root)},
            "model": {"width": 16, "heads": 2},
            "published": {"average_steps": average_steps},
        }
        config = parse_config(tree, "test")
        windows = history.windows(window)
        self.shares = [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]
        self.learner = Learner(config, history.description.features, torch.device("cpu"))
        self.published = Published(self.learner)
        self.folder = folder
        self.log = SqliteLog(folder / "log.db", busy_seconds=0.05)
        self.start(1)

    def start(self, incarnation: int) -> None:
        """Announce from here on."""
        self.announcer = Announcer(self.log, "online", incarnation, self.served)

    @property
    def served(self) -> Learner:
        return self.published.of(self.learner)

    def learn(self) -> int | None:
        """The next window, and its delta's offset."""
        share = self.shares[self.learner.next_window]
        self.learner.learn(share)
        self.published.follow(self.learner)
        return self.announcer.announce(self.served, {0: 1000 * self.learner.next_window})

    def checkpoint(self, directory: Path) -> None:
        write_checkpoint(directory, self.published.contents(self.learner))

    def restore(self, directory: Path) -> None:
        self.published.restore(directory, self.learner)

    def weights(self) -> ServedWeights:
        """Served weights, in memory of their own."""
        return ServedWeights.of({n: t.clone() for n, t in weights_of(self.served.state).items()})

    def digest(self) -> str:
        return StateDigest(self.weights()).digest

    def save(self, name: str, run: str = "online") -> tuple[Path, str]:
        """A version of the weights as they are: its directory and digest."""
        path = self.folder / name
        path.mkdir()
        learner = self.served
        file = VersionFile(
            features=learner.spec,
            model=learner.config.model,
            position=learner.position,
            run=run,
        )
        save_version(path, weights_of(learner.state), file, self.shares[0].rows.slice(0, 4))
        return path, digest_of(path)


@pytest.fixture
def online_run(make_history: Callable[..., History], tmp_path: Path) -> Callable[..., OnlineRun]:
    """online_run(windows, seed=0, average_steps=1) -> a learner, so many windows of 24 requests."""

    def make(windows: int, seed: int = 0, average_steps: int = 1) -> OnlineRun:
        folder = tmp_path / f"run-{seed}"
        folder.mkdir()
        return OnlineRun(make_history(24 * windows), folder, 24, seed, average_steps)

    return make


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[History, int], OnlineRun]:
    """run_of(history, window) -> a learner of a history, so many requests a window."""
    return lambda history, window: OnlineRun(history, tmp_path, window)
