"""Where a Kafka cluster is, and how its clients are set."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field

MAX_ROW_BYTES = 64 << 20
"""A delta is one row. Topics made here take as much."""

Setting = str | int | float | bool
Settings = dict[str, Any]


class KafkaAddress(BaseModel):
    """`kafka://host:port,host:port?prefix=easq&partitions=4&replication=3&config=/path.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    servers: str = Field(min_length=1)
    prefix: str = Field(default="easq", pattern=r"^[a-zA-Z0-9_-]+$")
    """Topic `events` is `easq.events` there: platforms can share a cluster."""

    partitions: int = Field(default=1, ge=1)
    """Of a topic that is made now; `models` has one. Existing topics know."""

    replication: int = Field(default=-1, ge=-1)
    """Of a topic that is made now; -1: as the brokers are set."""

    away_seconds: float = Field(default=10.0, gt=0)
    """So long any call waits for brokers before LogAwayError."""

    config: Path | None = None
    """A `ClientSettings` as JSON: this is where TLS and passwords go, not the address."""


class ClientSettings(BaseModel):
    """Settings of librdkafka: `{"client": {"security.protocol": "SASL_SSL", ...}}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client: dict[str, Setting] = {}
    """Of every client."""

    producer: dict[str, Setting] = {}
    consumer: dict[str, Setting] = {}

    def admins(self, address: KafkaAddress) -> Settings:
        return {**_clients(address), **self.client}

    def producers(self, address: KafkaAddress) -> Settings:
        return {
            **_clients(address),
            "enable.idempotence": True,  # a retry is taken once, and in order
            "acks": "all",
            "linger.ms": 0,  # an append waits for its rows, so rows do not wait for others
            "message.timeout.ms": 0,  # `append` keeps the time, for all its rows together
            "message.max.bytes": MAX_ROW_BYTES,
            "compression.type": "lz4",  # every row carries its schema
            **self.client,
            **self.producer,
        }

    def consumers(self, address: KafkaAddress) -> Settings:
        return {
            **_clients(address),
            "group.id": address.prefix,  # must be named; nothing is committed to it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,  # tells a hole at the end from rows still to come
            "auto.offset.reset": "error",  # never skips what was trimmed
            "fetch.max.bytes": MAX_ROW_BYTES,
            "receive.message.max.bytes": 2 * MAX_ROW_BYTES,
            **self.client,
            **self.consumer,
        }


def _clients(address: KafkaAddress) -> Settings:
    return {
        "bootstrap.servers": address.servers,
        "reconnect.backoff.max.ms": 1000,
        "socket.nagle.disable": True,
    }


def kafka_address(uri: str, partitions: int = 1) -> KafkaAddress:
    """Raises ValueError where the address says something unknown."""
    parts = urlsplit(uri)
    if parts.path not in ("", "/"):
        raise ValueError(f"a log's address has no path after kafka://host:port; got {uri!r}")
    query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    stated: dict[str, Any] = {"partitions": partitions, **query}
    return KafkaAddress(servers=parts.netloc, **stated)


def client_settings(address: KafkaAddress) -> ClientSettings:
    if address.config is None:
        return ClientSettings()
    return ClientSettings.model_validate(json.loads(address.config.read_text()))
