"""A Ray cluster of this machine that outlives the trainings on it, until told to stop.

Usage: python -m jobs.head PORT CPUS      (token and settings: jobs/local_ray.py)
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from easq.free_ports import free_port
from easq.own_folder import own_folder
from jobs.local_ray import OBJECT_STORE_BYTES

AT_ONCE = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
"""Ray waits for idle workers that stay by design; trainings have been stopped before it."""


def main() -> None:
    port, cpus = map(int, sys.argv[1:])
    with own_folder("easq-ray-") as folder:
        process = subprocess.Popen(command(folder, port, cpus), env=os.environ | AT_ONCE)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: process.terminate())
        sys.exit(process.wait())


def command(folder: Path, port: int, cpus: int) -> list[str]:
    """`ray start` without what reports on a cluster and nobody asks: each takes a second of CPU."""
    options = {
        "port": port,
        # Fixed by default: a second cluster on the machine would meet the first.
        "min-worker-port": 0,
        "max-worker-port": 0,
        "dashboard-agent-listen-port": 0,
        "ray-client-server-port": free_port(),
        "num-cpus": cpus,
        "object-store-memory": OBJECT_STORE_BYTES,
        "temp-dir": folder,
        "include-dashboard": "false",
        "include-log-monitor": "false",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    return [*start, "--no-monitor", *words]


if __name__ == "__main__":
    main()
