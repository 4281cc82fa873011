"""A TCP proxy before one Kafka broker that cuts connections, and can lose answers on the way.

Clients go where the broker says it is, so the proxy puts its own port into the answers: they
keep their length.
"""

import socket
import struct
import threading
from contextlib import suppress

PRODUCE = 0


class BrokerProxy:
    def __init__(self, servers: str) -> None:
        host, port = servers.split(",")[0].split(":")
        self._broker = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._said = host.encode() + struct.pack(">i", int(port))
        self._says = host.encode() + struct.pack(">i", self.port)
        self._open: set[socket.socket] = set()
        self._away, self.lose_answers = False, 0
        self.produced: list[bytes] = []
        self.refused = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def go_away(self) -> None:
        """Cut every connection, and each new one at once."""
        self._away = True
        for end in list(self._open):
            _cut(end)

    def come_back(self) -> None:
        self._away = False

    def close(self) -> None:
        self.go_away()
        _cut(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._away:
                    _cut(client)
                    self.refused.set()
                else:
                    self._join(client, socket.create_connection(self._broker))

    def _join(self, client: socket.socket, broker: socket.socket) -> None:
        self._open |= {client, broker}
        for end in (client, broker):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting: dict[int, int] = {}
        for target in (self._ask, self._answer):
            threading.Thread(target=target, args=(client, broker, waiting), daemon=True).start()

    def _ask(self, client: socket.socket, broker: socket.socket, waiting: dict[int, int]) -> None:
        with suppress(OSError):
            while frame := _frame(client):
                key, _, correlation = struct.unpack_from(">hhi", frame, 4)
                waiting[correlation] = key
                if key == PRODUCE:
                    self.produced.append(frame)
                broker.sendall(frame)
        self._cut_both(client, broker)

    def _answer(
        self, client: socket.socket, broker: socket.socket, waiting: dict[int, int]
    ) -> None:
        with suppress(OSError):
            while frame := _frame(broker):
                key = waiting.pop(struct.unpack_from(">i", frame, 4)[0])
                if key == PRODUCE and self.lose_answers:
                    self.lose_answers -= 1
                    break
                client.sendall(frame.replace(self._said, self._says))
        self._cut_both(client, broker)

    def _cut_both(self, *ends: socket.socket) -> None:
        for end in ends:
            self._open.discard(end)
            _cut(end)


def _cut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


def _frame(source: socket.socket) -> bytes:
    """A whole request or answer, its length before it; empty at the end."""
    head = _exactly(source, 4)
    return head + _exactly(source, struct.unpack(">i", head)[0]) if head else b""


def _exactly(source: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = source.recv(size - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)
