"""The online test as a user gives it: a loop with two lines, simulated users, Table 2."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from easq.announcements import DELTA
from easq.delta import read_head
from easq.log.connect import open_log
from easq.log.interface import MODELS, Log


def runs_that_announced(log: Log) -> set[str]:
    rows = log.read(MODELS, 0, log.begin(MODELS, 0))
    assert rows is not None
    told = rows.table.select(["kind", "body"]).to_pylist()
    return {read_head(row["body"]).run for row in told if row["kind"] == DELTA}


@pytest.mark.ray
@pytest.mark.soak
def test_users_live_with_two_lines_that_both_learn_from_everybody(tmp_path):
    out = tmp_path / "ab"
    easq = Path(sys.executable).with_name("easq")
    small = ["--out", out, "--users", "60", "--requests", "2048", "--days", "2"]
    run = subprocess.run([easq, "ab", *small], capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    served = re.search(r"rankings by arm and model: (.*)", run.stdout)
    assert served, run.stdout
    assert "('control', 'emer')" in served[1]
    assert "('treatment', 'easq')" in served[1]
    assert "('control', 'easq')" not in served[1]
    assert "rejected" not in run.stdout
    log, beside = (open_log(f"sqlite:///{out / name}") for name in ("log.db", "emer-models.db"))
    assert runs_that_announced(log) == {"easq"}
    assert runs_that_announced(beside) == {"emer"}
    figures = json.loads((out / "ab" / "result.json").read_text())["found"]
    assert sum(figures["users"]["seen"]) == 60
    assert figures["adjusted"].keys() == figures["differences"].keys()
