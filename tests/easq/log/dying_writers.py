"""Processes that die while they use the log in one SQLite file; prints what was acknowledged.

Usage: dying_writers.py steps PATH      each child dies one line of code later than the one before
       dying_writers.py any PATH SEED   children die at a random moment
       dying_writers.py born PATH       children make the file at once, and append
       dying_writers.py full PATH       files must not grow: prints the error and the rows taken
       dying_writers.py fork PATH       a child uses the log that its parent has open
"""

import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa

from easq.log.interface import EVENTS, LogFullError
from easq.log.sqlite import SqliteLog

ROWS = 3
acknowledged: list[int] = []
told, tell = os.pipe()


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid


def append(log: SqliteLog, durable: bool = True) -> None:
    first = log.end(EVENTS, 0)
    offsets = log.append(EVENTS, 0, pa.table({"n": range(first, first + ROWS)}), durable)
    os.write(tell, f"{offsets[0]} ".encode())


def die_at(line: int) -> None:
    left = line

    def step(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if "easq/log" not in frame.f_code.co_filename:
            return None
        left -= event == "line"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step

    sys.settrace(step)


def steps(path: Path) -> None:
    line, status = 0, 1
    while status != 0:
        line += 1

        def work(line: int = line) -> None:
            log = SqliteLog(path)
            die_at(line)
            append(log)
            log.trim(EVENTS, 0, log.end(EVENTS, 0) - 10 * ROWS)
            sys.settrace(None)

        status = os.waitpid(child(work), 0)[1]
    assert line > 30, f"only {line} steps were seen"


def any_moment(path: Path, seed: str) -> None:
    moments = random.Random(seed)
    for round_ in range(15):

        def work(durable: bool = round_ % 2 == 0) -> None:
            log = SqliteLog(path)
            while True:
                append(log, durable)

        pid = child(work)
        time.sleep(moments.uniform(0.02, 0.15))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def born(path: Path) -> None:
    def work() -> None:
        for i in range(10):
            SqliteLog(path, partitions=2).append(EVENTS, 1, pa.table({"n": [i]}), durable=False)

    statuses = [os.waitpid(pid, 0)[1] for pid in [child(work) for _ in range(6)]]
    assert statuses == [0] * 6


def full(path: Path) -> None:
    log = SqliteLog(path)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    try:
        for i in range(1000):
            row = {"n": [i], "weight": [os.urandom(20_000)]}
            os.write(tell, f"{log.append(EVENTS, 0, pa.table(row))[0]} ".encode())
    except LogFullError:
        assert log.end(EVENTS, 0) > 3  # it can still be read


def forked(path: Path) -> None:
    log = SqliteLog(path)
    append(log)
    assert os.waitpid(child(lambda: append(log)), 0)[1] == 0
    append(log)


if __name__ == "__main__":
    pa.table({"n": range(1)})  # what Arrow imports late is imported once, not in each child
    way, path, *more = sys.argv[1:]
    ways = {"steps": steps, "any": any_moment, "born": born, "full": full, "fork": forked}
    ways[way](Path(path), *more)
    os.close(tell)
    print(json.dumps([int(n) for n in os.read(told, 1 << 20).split()]))
