"""`easq drain` waits for whoever trains, and says in a sentence when nobody does."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from easq.train.drain import drain_asked, is_running
from easq.train.latest import Latest, write_latest
from jobs.drain import drain

TRAINS_UNTIL_ASKED = """
import sys, time
from pathlib import Path
from easq.train.drain import drain_asked, running
folder = Path(sys.argv[1])
with running(folder):
    print("trains", flush=True)
    while not drain_asked(folder):
        time.sleep(0.01)
"""


def run(folder: Path) -> Result:
    app = typer.Typer()
    app.command()(drain)
    return CliRunner().invoke(app, [str(folder)])


@pytest.fixture
def run_folder(tmp_path) -> Path:
    (tmp_path / "run.json").write_text("{}")
    write_latest(tmp_path, Latest(checkpoint="window-000007", window=7, step=9))
    return tmp_path


def test_it_returns_when_the_run_has_stopped(run_folder):
    command = [sys.executable, "-c", TRAINS_UNTIL_ASKED, str(run_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout.readline() == "trains\n"
        result = run(run_folder)
        assert not is_running(run_folder)
        assert driver.wait(timeout=60) == 0
    assert "7 windows are in window-000007" in result.stdout
    assert result.exit_code == 0


def test_a_run_that_nobody_trains_is_left_as_it_is(run_folder):
    result = run(run_folder)
    assert "is not in training: 7 windows" in result.stdout
    assert not drain_asked(run_folder)


def test_a_folder_without_a_run_is_refused(tmp_path):
    assert "holds no run" in str(run(tmp_path).exception)
