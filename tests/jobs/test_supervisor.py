"""Parts that end are started again, and all of a part goes when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.guard import Guarded, end_all
from jobs.supervisor import Part, Supervisor

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
GRANDPARENT = """
import subprocess, sys, time
code = "import os; print(os.spawnvp(os.P_NOWAIT, 'sleep', ['sleep', '600']), flush=True)"
subprocess.run([sys.executable, "-c", code], process_group=0)
time.sleep(600)
"""
ORDERLY = """
import os, signal, sys, time
def stop(*_):
    time.sleep(0.5)
    print(f"{sys.argv[1]} {os.getpid()} ends", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print(f"{sys.argv[1]} {os.getpid()} runs", flush=True)
time.sleep(600)
"""
SUPERVISING = """
import sys, time
from pathlib import Path
from jobs.supervisor import Part, Supervisor
folder = Path(sys.argv[1])
environment = {"PYTHONPATH": f"{folder}"}
parts = [Part("part", ["part"], environment), Part("deaf", ["deaf"], environment, 0.2)]
Supervisor(parts, folder).start()
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""


@pytest.fixture
def supervise(tmp_path, monkeypatch):
    """supervise(script, patience, may_finish) -> a started supervisor of `python -m script`."""
    started = []

    def run(script: str, patience: float = 30.0, may_finish: bool = False) -> Supervisor:
        (tmp_path / "part.py").write_text(script)
        environment = {"PYTHONPATH": str(tmp_path)}
        part = Part("part", ["part"], environment, patience, may_finish)
        supervisor = Supervisor([part], tmp_path)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield run
    for supervisor in started:
        supervisor.stop()


def wait_until(fact: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lines(folder: Path) -> list[str]:
    return (folder / "part.log").read_text().split()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_part_runs_again_and_its_children_are_gone(supervise, tmp_path):
    supervisor = supervise(PARENT)
    wait_until(lambda: len(lines(tmp_path)) == 1)
    first = supervisor.report()["part"]["pid"]
    os.kill(first, signal.SIGKILL)
    told = []
    wait_until(lambda: told.extend(supervisor.look()) or len(lines(tmp_path)) == 2)
    assert "part ended with -9" in told[0]
    assert told[1] == "part runs again (restart 1)"
    assert supervisor.report()["part"]["pid"] != first
    wait_until(lambda: not is_alive(int(lines(tmp_path)[0])))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are found in /proc")
def test_what_left_the_group_and_lost_its_parent_goes_with_its_part_too(supervise, tmp_path):
    supervisor = supervise(GRANDPARENT)
    wait_until(lambda: len(lines(tmp_path)) == 1)
    stray = int(lines(tmp_path)[0])
    assert os.getpgid(stray) != supervisor.report()["part"]["pid"]
    os.kill(supervisor.report()["part"]["pid"], signal.SIGKILL)
    wait_until(supervisor.look)
    assert not is_alive(stray)


def test_a_part_that_keeps_failing_is_started_more_and_more_rarely(supervise, tmp_path):
    supervisor = supervise("raise SystemExit(3)")
    told = []
    wait_until(lambda: told.extend(supervisor.look()) or len(told) >= 3)
    assert "ended with 3; it starts again in 1 s" in told[0]
    assert "ended with 3; it starts again in 2 s" in told[2]


def test_a_part_starts_again_with_the_one_that_it_needs(tmp_path):
    (tmp_path / "part.py").write_text(PARENT)
    environment = {"PYTHONPATH": str(tmp_path)}
    needed = Part("needed", ["part"], environment)
    supervisor = Supervisor([needed, Part("part", ["part"], environment, needs="needed")], tmp_path)
    supervisor.start()
    try:
        wait_until(lambda: len(lines(tmp_path)) == 1)
        os.kill(supervisor.report()["needed"]["pid"], signal.SIGKILL)
        wait_until(lambda: [supervisor.look()] and len(lines(tmp_path)) == 2)
        assert {part["restarts"] for part in supervisor.report().values()} == {1}
        assert not is_alive(int(lines(tmp_path)[0]))
    finally:
        supervisor.stop()


def test_a_part_that_does_not_hear_is_killed(supervise, tmp_path):
    supervisor = supervise(STUBBORN, patience=0.2)
    wait_until(lambda: lines(tmp_path) == ["deaf"])
    pid = supervisor.report()["part"]["pid"]
    supervisor.stop()
    assert not is_alive(pid)
    assert supervisor.look() == []


def test_a_part_that_has_done_its_work_is_not_started_again(supervise):
    supervisor = supervise("", may_finish=True)
    told = []
    wait_until(lambda: told.extend(supervisor.look()) or told)
    assert told == ["part has ended in good order and stays so"]
    assert supervisor.look() == []
    assert supervisor.report()["part"] | {"log": ""} == {"pid": None, "restarts": 0, "log": ""}


def test_a_part_without_an_end_that_a_stranger_asks_to_stop_runs_again(supervise):
    supervisor = supervise("")
    told = []
    wait_until(lambda: told.extend(supervisor.look()) or len(told) > 1)
    assert told[0].startswith("part ended with 0; it starts again")
    assert told[1] == "part runs again (restart 1)"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are found in /proc")
def test_parts_end_with_a_supervisor_that_is_killed(tmp_path):
    (tmp_path / "part.py").write_text(GRANDPARENT)
    (tmp_path / "deaf.py").write_text(f"import os\nprint(os.getpid(), flush=True)\n{STUBBORN}")
    command = [sys.executable, "-c", SUPERVISING, str(tmp_path)]
    supervisor = subprocess.Popen(command)
    logs = [tmp_path / "part.log", tmp_path / "deaf.log"]
    wait_until(lambda: all(log.is_file() and log.read_text().endswith("\n") for log in logs))
    wait_until(lambda: "deaf" in logs[1].read_text())
    stray, deaf = (int(log.read_text().split()[0]) for log in logs)
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not is_alive(stray) and not is_alive(deaf))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="sessions are found in /proc")
def test_a_guard_stops_parts_in_the_opposite_order_of_their_start(tmp_path):
    commands = [[sys.executable, "-c", ORDERLY, name] for name in ("needed", "needing")]
    output = tmp_path / "output"
    with output.open("a") as file:
        parts = [subprocess.Popen(c, stdout=file, start_new_session=True) for c in commands]
    wait_until(lambda: output.read_text().count("runs") == 2)
    end_all([Guarded(part.pid, 60.0) for part in parts])
    said = [line.split()[0] for line in output.read_text().splitlines() if line.endswith("ends")]
    assert said == ["needing", "needed"]
    assert [part.wait() for part in parts] == [0, 0]


def test_a_supervisor_that_has_stopped_leaves_no_guard(supervise):
    supervisor = supervise(PARENT)
    guard = supervisor.guard.process.pid
    supervisor.stop()
    assert not is_alive(guard)
