"""A simulated history, a version for its features, and a way to serve an API on a socket."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import torch
import uvicorn
from starlette.types import ASGIApp

from easq.artefact import VersionFile, digest_of, save_version
from easq.history import History
from easq.model.build import build_ranker
from easq.model.config import ModelConfig
from easq.model.embedding import EmbeddingTables
from easq.registry import Version
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.train.position import Position


@pytest.fixture(scope="session")
def history(tmp_path_factory) -> History:
    config = SimulationConfig(seed=3, traffic=TrafficConfig(requests=60, days=2))
    return write_simulation(tmp_path_factory.mktemp("simulated") / "history", config)


@pytest.fixture(scope="session")
def version(history, tmp_path_factory) -> Version:
    """First weights: they rank, if badly."""
    spec, model, cpu = history.description.features, ModelConfig(width=16, heads=2), "cpu"
    device, dtype = torch.device(cpu), torch.float32
    ranker = build_ranker(spec, model, 0, device, dtype)
    tables = EmbeddingTables.initial(spec, 0, device, dtype)
    weights = {f"ranker.{n}": t for n, t in ranker.state_dict().items()}
    weights |= {f"rows.{width}": t for width, t in tables.weight.items()}
    path = tmp_path_factory.mktemp("version")
    file = VersionFile(features=spec, model=model, position=Position(schema_hash=spec.schema_hash))
    save_version(path, weights, file, history.read(history.windows()[0]).slice(0, 1))
    return Version("easq", 5, digest_of(path), "run", str(path))


@contextmanager
def _serving(api: ASGIApp) -> Iterator[str]:
    """It listens from the start: requests wait in the socket until the server is up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(api, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def serving_at() -> Callable[[ASGIApp], AbstractContextManager[str]]:
    """with serving_at(api) as url: ..."""
    return _serving
