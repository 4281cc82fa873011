"""What HTTP costs on top of the forward pass, one client with its connection kept open."""

import json

import numpy as np
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.ray, pytest.mark.timeout(600)]

PAIRS, SIZES = 7, (100, 500)


def test_http_against_the_forward_pass(registry, serving, http_cost, blocks, report):
    with serving(registry) as url:
        lines = http_cost("measure", url, registry.version, PAIRS, *SIZES).splitlines()
    for line in lines:
        taken = json.loads(line)
        over = np.median(np.subtract(taken["rank"], taken["forward"]))
        report(
            f"http_{taken['candidates']}_candidates",
            blocks(taken["rank"], taken["forward"]),
            "ms, p50",
            "ServedRanker.score alone",
            "yardstick + 1.2 ms",
            over_yardstick_ms=round(float(over), 2),
            empty_route_ms=round(float(np.median(taken["nothing"])), 2),
            json_in_and_out_ms=round(float(np.median(taken["translate"])), 2),
        )
