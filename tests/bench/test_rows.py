"""A step costs the same whatever the size of the embedding table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

SMALL, LARGE, PAIRS = 10**5, 10**7, 6
NEEDED_GB = 12
"""The large table and its two moments take 7.7 GB."""


def available_gb() -> float:
    info = Path("/proc/meminfo")
    if not info.is_file():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    lines = dict(line.split(":") for line in info.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 1e6


def test_the_step_rate_does_not_know_the_table_size(report, blocks):
    if available_gb() < NEEDED_GB:
        pytest.skip(f"needs {NEEDED_GB} GB of free memory; {available_gb():.1f} GB are free")
    script = Path(__file__).with_name("rows.py")
    arguments = [str(SMALL), str(LARGE), str(PAIRS)]
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=True
    )
    rates = json.loads(done.stdout)
    measured = blocks(rates["large"], rates["small"])
    report("rows", measured, f"steps/s, {LARGE} rows", f"{SMALL} rows", ">= 0.97")
