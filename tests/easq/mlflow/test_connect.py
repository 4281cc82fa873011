"""Processes that meet at a database which none of them has made yet."""

import subprocess
import sys
from pathlib import Path

ASK = """
import sys
from easq.registry import champion
assert champion(sys.argv[1], "easq") is None
"""


def test_processes_that_begin_a_database_at_once_all_get_it(tmp_path: Path):
    command = [sys.executable, "-c", ASK, f"sqlite:///{tmp_path / 'mlflow.db'}"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=400)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
