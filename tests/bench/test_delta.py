"""A delta is about as large as what moved, and applying it is a copy of its bytes by row."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

BLOCKS = 20


def test_applying_a_delta_beside_copying_its_bytes(report, blocks):
    script = Path(__file__).with_name("delta_cost.py")
    done = subprocess.run(
        [sys.executable, str(script), str(BLOCKS)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    measured = blocks(found["apply_ms"], found["memcpy_ms"])
    report(
        "delta apply",
        measured,
        "ms, 10,000 of 10^6 rows of 64",
        "memcpy of its bytes, ms",
        "<= 10",
        decode_ms=round(float(np.median(found["decode_ms"])), 2),
        check_ms=round(float(np.median(found["check_ms"])), 2),
        digest_ms=round(float(np.median(found["digest_ms"])), 2),
        full_digest_ms=round(found["full_digest_ms"]),
        zipf_rows=found["zipf_rows"],
        zipf_mb=round(found["zipf_mb"], 2),
        zipf_over_moved=round(found["zipf_over_moved"], 4),
        zipf_over_full=round(found["zipf_over_full"], 5),
    )
    assert found["zipf_over_moved"] <= 1.1
