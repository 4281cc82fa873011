"""A disk that is full while the joiner writes: retention frees it, and the joiner goes on."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from easq.events import REJECTION
from easq.join_log import JoinedPartition
from easq.join_loop import keep_trimmed, run_join
from easq.log.interface import EVENTS, REJECTED, SAMPLES, LogFullError
from easq.log.patient import PatientLog
from easq.log.sqlite import SqliteLog
from easq.sealed import SealedReader

DISK = "24m"
SECONDS = 60.0
RETENTION_SECONDS = 3600.0


@pytest.fixture
def disk(tmp_path: Path):
    """A folder on a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "easq-test", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root of a Linux can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("characters", [100, 50_000])
def test_the_joiner_waits_for_room_and_old_rows_make_it(disk, script, quick, characters):
    log = SqliteLog(disk / "log.db")
    log.trim(EVENTS, 0, 0)  # as a joiner does when it starts
    for second in range(40):
        script.answered(1_000 * second + 500, script.shown(1_000 * second), 1)
    log.append(EVENTS, 0, script.table())
    fill(log, characters)
    stop = threading.Event()
    partition = JoinedPartition(PatientLog(log, stop.wait), 0, quick)
    joining = threading.Thread(target=run_join, args=([partition], stop.wait, 0.01, lambda _: None))
    joining.start()
    assert not log.end(SAMPLES, 0)
    trimming = threading.Thread(
        target=keep_trimmed, args=([partition], stop.wait, RETENTION_SECONDS, lambda _: 0)
    )
    trimming.start()
    expected = script.joined(quick)
    reader = SealedReader(log)
    try:
        for window in expected:
            assert wait_for(reader, stop).equals(window)
    finally:
        stop.set()
        joining.join(SECONDS)
        trimming.join(SECONDS)
    assert log.begin(REJECTED, 0) > 0


def fill(log: SqliteLog, characters: int) -> None:
    """Refused events of 1970, until there is no room for a small one."""
    for size in (characters, 1):
        row = {"received_at_ms": 0, "code": "c", "message": "m", "payload": "x" * size}
        rows = pa.Table.from_pylist([row], REJECTION)
        with suppress(LogFullError):
            while True:
                log.append(REJECTED, 0, rows, durable=False)


def wait_for(reader: SealedReader, stop: threading.Event) -> pa.Table:
    for _ in range(int(SECONDS / 0.05)):
        if (window := reader.next()) is not None:
            return window.table
        stop.wait(0.05)
    raise AssertionError("no window in time")
