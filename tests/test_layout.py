"""The folder `platform` stays a source root: a package would shadow the standard library's."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_platform_is_no_package():
    loose = [path.name for path in (ROOT / "platform").glob("*.py")]
    assert loose == []


def test_the_standard_librarys_platform_is_found_from_the_root():
    code = "import platform; print(platform.python_implementation())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.strip() == "CPython"
