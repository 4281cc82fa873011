"""A driver does not outlive the Ray that it has started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.session import members

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

DRIVER = """
import threading
from easq.ray_watch import ray_parts
from jobs.cluster import ray_cluster

with ray_cluster(cpus=1):
    print(*(f"{name}={pid}" for pid, name in ray_parts().items()), flush=True)
    threading.Event().wait()
"""


def driver(code: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", code]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("part", ["gcs_server", "raylet"])
def test_a_driver_ends_with_its_gcs_server_or_raylet(part):
    process = driver(DRIVER)
    try:
        assert process.stdout is not None
        parts = dict(word.split("=") for word in process.stdout.readline().split())
        assert set(parts) == {"gcs_server", "raylet"}
        os.kill(int(parts[part]), signal.SIGKILL)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 1
        assert f"Ray's {part} has ended" in said
    finally:
        for pid in members(process.pid):
            os.kill(pid, signal.SIGKILL)
