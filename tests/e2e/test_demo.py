"""The README's first command, as a user gives it."""

import re
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
def test_the_demo_trains_serves_learns_from_its_viewers_and_leaves_nothing_running(tmp_path):
    out = tmp_path / "demo"
    easq = Path(sys.executable).with_name("easq")
    small = ["--out", out, "--requests", "6000", "--seconds", "20"]
    run = subprocess.run([easq, "demo", *small], capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    for said in ("run easq is complete", "true satisfaction", "p50", "version 1 live"):
        assert said in run.stdout
    assert re.search(r"rankings, refused, failed +│ \d+, \d+, 0 ", run.stdout), run.stdout
    assert re.search(r"lost, twice, undecided +│ 0, 0, 0 ", run.stdout), run.stdout
    assert re.search(r"freshness.*p50 [\d.]+ s", run.stdout), run.stdout
    assert processes_that_name(out) == []
