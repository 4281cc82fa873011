"""Equal drivers: one trains, the next goes on where it is killed, and all end where it drains."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from select import select

import pytest

from easq.train.drain import ask_to_drain, drain_asked
from easq.train.turn import last_turn

DRIVER = """
import json, sys, time
from functools import cache
from itertools import count
from pathlib import Path
from easq.train.drain import drain_asked
from jobs.standby import in_turn

folder, kind, steady_seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
lag = {"learns": 60.0, "follows": 0.5}.get(kind)

@cache
def imported():
    print("imports", flush=True)
    return train

def train(turn):
    if turn is not None:
        print("ready", flush=True)
        if not turn():
            return
    (folder / "run.json").touch()
    print("trains", flush=True)
    for window in count():
        if drain_asked(folder):
            return
        if lag is not None:
            with (folder / "windows.jsonl").open("a") as file:
                file.write(json.dumps({"window": window, "lag_seconds": lag}) + "\\n")
        time.sleep(0.02)

print("begins", flush=True)
in_turn(folder, imported, steady_seconds)
"""
IMPORTS = "imports"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(kind, steady_seconds): a driver that has begun; what it says next is its stdout.

    It "waits" for windows, "learns" old ones, or "follows" its log, from window to window.
    """
    started = []

    def begin(kind: str, steady_seconds: float = 0.1) -> subprocess.Popen[str]:
        words = [str(tmp_path / "run"), kind, str(steady_seconds)]
        command = [sys.executable, "-c", DRIVER, *words]
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(driver)
        assert said(driver) == "begins"
        return driver

    yield begin
    for driver in started:
        driver.kill()
        driver.communicate()


def said(driver: subprocess.Popen[str]) -> str:
    """Its next line but that of its imports; empty once it has ended."""
    assert driver.stdout is not None
    line = driver.stdout.readline().strip()
    return said(driver) if line == IMPORTS else line


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


def test_it_prepares_as_soon_as_the_other_has_caught_up_with_its_log(start, tmp_path):
    patience = 3600.0
    first = start("follows", patience)
    assert said(first) == "trains"
    second = start("follows", patience)
    assert said(second) == "ready"
    first.kill()
    assert said(second) == "trains"
    assert said(start("follows", patience)) == "ready"


def test_a_third_does_the_imports_and_prepares_once_it_is_the_next(start, tmp_path):
    first = start("follows")
    assert said(first) == "trains"
    second = start("follows")
    assert said(second) == "ready"
    third = start("follows")
    assert third.stdout.readline().strip() == IMPORTS
    first.kill()
    assert said(second) == "trains"
    assert third.stdout.readline().strip() == "ready"
    ask_to_drain(tmp_path / "run")
    assert [driver.wait(timeout=60) for driver in (second, third)] == [0, 0]


def test_a_third_leaves_the_cores_to_the_one_that_is_being_prepared(start):
    first, second = start("follows"), start("follows", 3600.0)
    assert [said(driver) for driver in (first, second)] == ["trains", "ready"]
    third = start("follows", 3600.0)
    said_early, _, _ = select([third.stdout], [], [], 1.0)
    assert said_early == []
    second.kill()
    assert third.stdout.readline().strip() == IMPORTS
    assert third.stdout.readline().strip() == "ready"


def test_a_third_trains_where_both_others_are_killed(start):
    drivers = [start("waits") for _ in range(3)]
    assert said(drivers[0]) == "trains"
    for driver in drivers[:2]:
        driver.kill()
    assert said(drivers[2]) == "trains"


def test_a_training_that_has_to_catch_up_is_left_alone_for_a_while(start, tmp_path):
    first = start("learns")
    assert said(first) == "trains"
    second = start("learns", 3600.0)
    time.sleep(1)
    first.kill()
    assert said(second) == "trains"


def test_windows_of_one_that_was_killed_do_not_count(start, tmp_path):
    folder = tmp_path / "run"
    first = start("waits")
    assert said(first) == "trains"
    (folder / "windows.jsonl").write_text('{"window": 1, "lag_seconds": 0.5}\n')
    second = start("waits", 3600.0)
    assert select([second.stdout], [], [], 3.0)[0] == []
    with (folder / "windows.jsonl").open("a") as file:
        file.write('{"window": 2, "lag_seconds": 0.5}\n')
    assert said(second) == "ready"


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
