"""A Ray cluster of two nodes on one machine, and the parts of the loop that live on it."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from easq.free_ports import free_port
from easq.log.interface import EVENTS, IDENTITY, MODELS, REJECTED, SAMPLES

from ..easq.log.mock_kafka import MockKafka

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
PATIENCE_SECONDS = 120.0
NODE = {
    "node-ip-address": "127.0.0.1",
    "object-store-memory": 120 << 20,
    "min-worker-port": 0,  # any free one: both nodes would begin at the same
    "max-worker-port": 0,
}


class Cluster(NamedTuple):
    """What to give to processes that are to use it, and its nodes."""

    environment: dict[str, str]
    training: subprocess.Popen
    serving: subprocess.Popen


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """The head, where training runs and Serve's proxy, and a node for replicas."""
    folder = Path(tempfile.mkdtemp(prefix="easq-", dir="/tmp"))  # sockets need a short path
    address = f"127.0.0.1:{free_port()}"
    environment = {
        "PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}",
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    head = {"port": address.rpartition(":")[2], "ray-client-server-port": free_port()}
    head |= {"temp-dir": folder, "include-dashboard": "false", "num-cpus": 3}
    try:
        with _node(folder, "training", environment, "--head", head) as training:
            other: dict[str, Any] = {"address": address, "num-cpus": 1}
            with _node(folder, "serving", environment, "", other) as serving:
                yield Cluster(environment, training, serving)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _node(
    folder: Path, role: str, environment: dict[str, str], head: str, options: dict[str, Any]
) -> Iterator[subprocess.Popen]:
    options = NODE | options | {"labels": f"role={role}"}
    options["dashboard-agent-listen-port"] = free_port()
    words = [head] if head else []
    words += [f"--{name}={value}" for name, value in options.items()]
    told = folder / f"{role}.out"
    with told.open("w") as output:
        node = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *words],
            env={
                name: v for name, v in (os.environ | environment).items() if name != "RAY_ADDRESS"
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: _is_up(node, told), f"node {role}")
        yield node
    finally:
        node.terminate()
        with suppress(subprocess.TimeoutExpired):
            node.wait(30)
        for left in reversed(descendants(node.pid)):
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        node.kill()
        node.wait()


def _is_up(node: subprocess.Popen, told: Path) -> bool:
    assert node.poll() is None, told.read_text()
    return "Ray runtime started" in told.read_text()


def descendants(process: int) -> list[int]:
    """Process ids below a process, parents first."""
    found, queue = [], [process]
    while queue:
        for task in Path(f"/proc/{queue.pop()}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                queue += (children := [int(word) for word in task.read_text().split()])
                found += children
    return found


def named(node: subprocess.Popen, word: str) -> list[int]:
    """Processes of a node with a word in their title."""
    found = []
    for process in descendants(node.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if word.encode() in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def serve_on(cluster: Cluster, folder: Path, port: int, settings: dict[str, Any]) -> None:
    """`serve run` of the shipped configuration, changed where this machine needs it."""
    config = yaml.safe_load((ROOT / "infra" / "serve" / "easq.yaml").read_text())
    config["proxy_location"] = "HeadOnly"  # two nodes of one machine share its ports
    config["http_options"]["port"] = port
    (application,) = config["applications"]
    application["args"] |= settings
    options = {"num_cpus": 1, "label_selector": {"role": "serving"}}
    application["deployments"][0]["ray_actor_options"] = options
    file = folder / "easq.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "ray.serve.scripts", "run", "--non-blocking", str(file)]
    run = subprocess.run(
        command, env=os.environ | cluster.environment, capture_output=True, text=True, timeout=180
    )
    assert run.returncode == 0, run.stdout + run.stderr


@contextmanager
def kafka(folder: Path, partitions: int = PARTITIONS) -> Iterator[str]:
    """The address of a log on a mock broker."""
    brokers = MockKafka()
    for topic in (EVENTS, SAMPLES):
        brokers.make_topic(f"easq.{topic}", partitions)
    for topic in (MODELS, REJECTED, IDENTITY):
        brokers.make_topic(f"easq.{topic}", 1)
    settings = folder / "kafka.json"
    # The mock broker wakes no fetch that waits.
    settings.write_text('{"consumer": {"fetch.wait.max.ms": 10}}')
    yield f"kafka://{brokers.servers}?config={settings}"
    brokers.close()


def wait_for(fact: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)
