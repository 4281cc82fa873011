"""librdkafka's mock brokers over TCP: real requests, rows in memory, at most 5 MiB a partition.

They make no topics, add no partitions and delete no records on request.
"""

import ctypes
from pathlib import Path

import confluent_kafka

PRODUCER, PRODUCE_REQUEST, ERRSTR = 0, 0, 512


def _library() -> ctypes.CDLL:
    """The librdkafka that confluent_kafka has loaded."""
    package = Path(confluent_kafka.__file__).parent
    folders = [package.with_name("confluent_kafka.libs"), package / ".dylibs"]
    found = [f for folder in folders for f in folder.glob("librdkafka*") if f.is_file()]
    library = ctypes.CDLL(str(found[0]) if found else "librdkafka.so.1")
    pointers = ("conf_new", "new", "mock_cluster_new")
    for name in pointers:
        getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockKafka:
    """One broker, for as long as this object is kept."""

    def __init__(self) -> None:
        self._library = _library()
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        told = ctypes.create_string_buffer(ERRSTR)
        new = self._library.rd_kafka_new(PRODUCER, conf, told, ctypes.c_size_t(ERRSTR))
        self._owner = ctypes.c_void_p(new)
        cluster = self._library.rd_kafka_mock_cluster_new(self._owner, 1)
        self._cluster = ctypes.c_void_p(cluster)
        self.servers = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def make_topic(self, name: str, partitions: int) -> None:
        error = self._library.rd_kafka_mock_topic_create(
            self._cluster, name.encode(), partitions, 1
        )
        assert error == 0, f"the mock broker made no topic {name}: error {error}"

    def fail_produce(self, *errors: int) -> None:
        """Answer the next produce requests with these error codes, and take nothing of them."""
        self._library.rd_kafka_mock_push_request_errors(
            self._cluster,
            ctypes.c_int16(PRODUCE_REQUEST),
            ctypes.c_size_t(len(errors)),
            *[ctypes.c_int(error) for error in errors],
        )

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._owner)
