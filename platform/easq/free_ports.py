"""TCP ports of this machine that nobody listens on, and that the system gives to nobody meanwhile.

Where a port is asked of the system (port 0), it may be another's before its taker binds it, seconds
later: each connection that starts gets one of the same range.
"""

import random
import socket
from pathlib import Path

FIRST, AFTER_LAST = 20_000, 30_000
"""Between the ports of Ray's workers (10002 to 19999) and of Serve's replicas (from 30000)."""
LEAST = 1_000
"""To choose from, so that two who choose at once hardly meet."""
SYSTEMS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Different ones. Raises OSError where there are not so many."""
    places = _range()
    chosen = filter(_is_free, random.SystemRandom().sample(places, len(places)))
    ports = [port for port, _ in zip(chosen, range(count), strict=False)]
    if len(ports) < count:
        raise OSError(f"only {len(ports)} of {count} ports are free in {places}")
    return ports


def free_port() -> int:
    """One. Those that are chosen together differ; who needs several asks for them at once."""
    return free_ports(1)[0]


def _range() -> range:
    """Below the system's own, unless those begin so low that hardly any are left."""
    first_own = int(SYSTEMS_OWN.read_text().split()[0]) if SYSTEMS_OWN.is_file() else AFTER_LAST
    after_last = min(first_own, AFTER_LAST)
    return range(FIRST, after_last if after_last - FIRST >= LEAST else AFTER_LAST)


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
