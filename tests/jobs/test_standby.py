"""Two equal drivers: one trains, the other goes on where it is killed and ends where it drains."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from easq.train.drain import ask_to_drain, drain_asked
from easq.train.turn import last_turn

DRIVER = """
import sys, time
from pathlib import Path
from easq.train.drain import drain_asked
from jobs.standby import in_turn

folder, learns = Path(sys.argv[1]), sys.argv[2] == "learns"

def train(turn):
    if turn is not None:
        print("ready", flush=True)
        if not turn():
            return
    print("trains", flush=True)
    while not drain_asked(folder):
        if learns:
            with (folder / "windows.jsonl").open("a") as file:
                file.write("{}\\n")
        time.sleep(0.02)

print("begins", flush=True)
in_turn(folder, train, steady_seconds=0.1)
"""
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start("learns" or "waits"): a driver that has begun; what it says next is its stdout."""
    started = []

    def begin(kind: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", DRIVER, str(tmp_path / "run"), kind]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(driver)
        assert said(driver) == "begins"
        return driver

    yield begin
    for driver in started:
        driver.kill()
        driver.communicate()


def said(driver: subprocess.Popen[str]) -> str:
    """Its next line; empty once it has ended."""
    assert driver.stdout is not None
    return driver.stdout.readline().strip()


def test_the_one_that_waits_is_ready_and_goes_on_where_the_other_is_killed(start, tmp_path):
    first = start("learns")
    assert said(first) == "trains"
    second = start("learns")
    assert said(second) == "ready"
    assert last_turn(tmp_path / "run") == first.pid
    first.kill()
    assert said(second) == "trains"
    assert last_turn(tmp_path / "run") == second.pid
    third = start("learns")
    assert said(third) == "ready"


def test_a_run_that_is_drained_ends_for_both(start, tmp_path):
    first = start("learns")
    assert said(first) == "trains"
    second = start("learns")
    assert said(second) == "ready"
    ask_to_drain(tmp_path / "run")
    assert [driver.wait(timeout=60) for driver in (first, second)] == [0, 0]
    assert said(second) == ""


def test_it_prepares_nothing_beside_a_training_that_has_not_learnt_yet(start):
    first = start("waits")
    assert said(first) == "trains"
    second = start("waits")
    first.kill()
    assert said(second) == "trains"


def test_a_run_that_was_drained_before_goes_on_when_it_is_started_again(start, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    ask_to_drain(folder)
    assert said(start("learns")) == "trains"
    assert not drain_asked(folder)


def test_one_that_waits_can_be_stopped_alone(start):
    first = start("learns")
    assert said(first) == "trains"
    second = start("learns")
    assert said(second) == "ready"
    second.terminate()
    assert second.wait(timeout=60) != 0
    assert first.poll() is None
