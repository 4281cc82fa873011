"""Both engines under one set of tests.

`EASQ_TEST_KAFKA=kafka://host:port pytest tests/easq/log` puts a real cluster in the place of
librdkafka's mock brokers; its topics have prefixes of their own.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from easq.log.connect import open_log
from easq.log.interface import EVENTS, IDENTITY, MODELS, SAMPLES, Log

from .broker_proxy import BrokerProxy
from .mock_kafka import MockKafka

REAL = os.environ.get("EASQ_TEST_KAFKA", "")
QUICK = {"consumer": {"fetch.wait.max.ms": 10}}  # the mock broker wakes no fetch that waits

NewAddress = Callable[..., str]
Opened = Callable[[str], Log]


@pytest.fixture(scope="session")
def mock_kafka() -> Iterator[MockKafka]:
    brokers = MockKafka()
    yield brokers
    brokers.close()


@pytest.fixture
def proxy(mock_kafka: MockKafka) -> Iterator[BrokerProxy]:
    between = BrokerProxy(mock_kafka.servers)
    yield between
    between.close()


@pytest.fixture
def mock_address(mock_kafka: MockKafka, tmp_path: Path) -> NewAddress:
    """mock_address(partitions=1, servers=..., config=..., **query): topics of its own."""

    def new(partitions: int = 1, servers: str = "", config: object = QUICK, **query: object) -> str:
        prefix = f"t{uuid4().hex[:8]}"
        widths = {EVENTS: partitions, SAMPLES: partitions, MODELS: 1, IDENTITY: 1}
        for topic, width in widths.items():
            mock_kafka.make_topic(f"{prefix}.{topic}", width)
        settings = tmp_path / f"{prefix}.json"
        settings.write_text(json.dumps(config))
        more = "".join(f"&{name}={value}" for name, value in query.items())
        servers = servers or mock_kafka.servers
        return f"kafka://{servers}?prefix={prefix}&config={settings}{more}"

    return new


@pytest.fixture(params=["sqlite", "kafka"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def new_address(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> NewAddress:
    """new_address(partitions=1): the address of an empty log."""

    def new(partitions: int = 1) -> str:
        if engine == "sqlite":
            address = f"sqlite:///{tmp_path / uuid4().hex}.db"
            open_log(address, partitions).close()
            return address
        if REAL:
            join = "&" if "?" in REAL else "?"
            return f"{REAL}{join}prefix=test-{uuid4().hex}&partitions={partitions}"
        return request.getfixturevalue("mock_address")(partitions)

    return new


@pytest.fixture
def opened() -> Iterator[Opened]:
    """opened(address): a log that is closed when the test ends."""
    logs: list[Log] = []

    def again(address: str) -> Log:
        logs.append(open_log(address))
        return logs[-1]

    yield again
    for log in logs:
        log.close()


@pytest.fixture
def log(new_address: NewAddress, opened: Opened) -> Log:
    return opened(new_address())


@pytest.fixture
def changes_topics(engine: str) -> None:
    """For tests of what brokers do on request and mock brokers do not."""
    if engine == "kafka" and not REAL:
        pytest.skip("mock brokers neither add partitions nor delete records; EASQ_TEST_KAFKA=...")
