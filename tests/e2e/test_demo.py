"""The README's first command, as a user gives it."""

import subprocess
import sys
from pathlib import Path

import pytest


def processes_that_name(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command:
            found.append(command)
    return found


@pytest.mark.ray
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for left processes in /proc")
def test_the_demo_trains_serves_ranks_and_leaves_nothing_running(tmp_path):
    out = tmp_path / "demo"
    easq = Path(sys.executable).with_name("easq")
    run = subprocess.run([easq, "demo", "--out", out], capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    for said in ("run easq is complete", "true satisfaction", "p50", "version 2 live"):
        assert said in run.stdout
    assert processes_that_name(out) == []
