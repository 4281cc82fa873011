"""How fast training makes up for a downtime while viewers go on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(900)]

BLOCKS, DOWN_SECONDS = 2, 20


def test_training_catches_up_faster_than_viewers_go_on(report, blocks, tmp_path):
    script = Path(__file__).with_name("catch_up_cost.py")
    command = [sys.executable, str(script), str(tmp_path), str(BLOCKS), str(DOWN_SECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    report(
        "catch_up",
        blocks(found["ratio"], found["bare"]),
        "s of the stream learnt in a second, while viewers go on",
        "a learner alone, of one process, with the same windows",
        ">= 10",
        **{name: found[name] for name in ("rate", "failed")},
        start_s=[round(block["start_seconds"], 1) for block in found["blocks"]],
        seconds=[round(block["seconds"], 1) for block in found["blocks"]],
        requests=[block["requests"] for block in found["blocks"]],
    )
    assert found["failed"] == 0
