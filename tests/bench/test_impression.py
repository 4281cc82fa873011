"""What it costs that a ranking's impression is in the log before the ranking leaves."""

import json

import numpy as np
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(600)]

PAIRS, SIZES = 15, (100, 500)


def test_a_ranking_with_its_impression_against_one_without(
    registry, serving, http_cost, blocks, report, tmp_path
):
    settings = {
        "EASQ_LOG": f"sqlite:///{tmp_path / 'log.db'}",
        "EASQ_TOKEN_KEY_FILE": str(tmp_path / "token.key"),
    }
    with serving(registry, "off") as off, serving(registry, "on", **settings) as on:
        lines = http_cost("impression", on, off, registry.version, PAIRS, *SIZES).splitlines()
    for line in lines:
        taken = json.loads(line)
        report(
            f"impression_{taken['candidates']}_candidates",
            blocks(taken["with"], taken["without"]),
            "ms, p50",
            "the same service without a log",
            "yardstick + 1 ms",
            over_yardstick_ms=round(
                float(np.median(np.subtract(taken["with"], taken["without"]))), 2
            ),
        )
