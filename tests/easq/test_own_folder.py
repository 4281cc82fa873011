"""Folders in /tmp go with their process, or after it."""

import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from easq.own_folder import OWNER, PLACE, own_folder, remove_abandoned

OWNING = """
import sys, time
from easq.own_folder import own_folder
with own_folder(sys.argv[1]) as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def prefix() -> str:
    return f"easq-test-{secrets.token_hex(4)}-"


def _age(folder: Path) -> None:
    """Make it look an hour old."""
    os.utime(folder / OWNER, (0, folder.stat().st_mtime - 3600))


def test_a_folder_goes_with_its_block(prefix):
    with own_folder(prefix) as folder:
        (folder / "file").touch()
    assert list(PLACE.glob(f"{prefix}*")) == []


def test_what_a_killed_process_left_goes_later_and_what_a_living_one_has_stays(prefix):
    command = [sys.executable, "-c", OWNING, prefix]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    _age(folder)
    remove_abandoned(prefix)
    assert (folder / "file").exists()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    _age(folder)
    with own_folder(prefix) as other:
        assert not folder.exists()
        remove_abandoned(prefix)
        assert other.exists()


def test_a_young_folder_is_left_alone(prefix):
    folder = PLACE / f"{prefix}young"
    folder.mkdir()
    (folder / OWNER).touch()
    remove_abandoned(prefix)
    assert folder.exists()
    _age(folder)
    remove_abandoned(prefix)
    assert not folder.exists()
