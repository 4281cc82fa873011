"""How long the whole loop takes from a viewer's answer to a ranking that has used it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(900)]

BLOCKS, BLOCK_SECONDS = 6, 10


def test_freshness_of_answers_beside_its_floor(report, blocks, tmp_path):
    script = Path(__file__).with_name("freshness_cost.py")
    command = [sys.executable, str(script), str(tmp_path), str(BLOCKS), str(BLOCK_SECONDS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    for quantile, aim in (("p50", "<= 2 s, aim 1 s"), ("p95", "<= 5 s, aim 2.4 s")):
        report(
            f"freshness_{quantile}",
            blocks(found[quantile], found[f"floor_{quantile}"]),
            "s, answer accepted to the first ranking that used it",
            "the answer's own seal wait + learning of its window + apply",
            aim,
            **{name: found[name] for name in ("answers", "all", "hops", "load", "delta")},
        )
    assert found["load"]["failed"] == 0
