"""Who is taken for hung: neither the slow, nor those who wait and say so."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easq.train.vigil import Vigil


def test_whoever_comes_round_is_not_hung_though_idle():
    vigil = Vigil(10.0, now=100.0, used=5.0)
    for second in range(100, 200):
        assert not vigil.is_hung(second, 5.0)
        if second % 9 == 0:
            vigil.come_round(second, 5.0)


def test_a_step_that_takes_long_is_not_hung_while_it_uses_the_cpu():
    vigil = Vigil(10.0, now=100.0, used=5.0)
    assert not any(vigil.is_hung(100 + t, 5.0 + 0.05 * t) for t in range(1000))


def test_whoever_has_worked_and_hangs_then_is_hung_after_twice_the_time_at_most():
    vigil = Vigil(10.0, now=100.0, used=5.0)
    used = [5.0 + min(t, 9) for t in range(40)]
    hung = [t for t in range(40) if vigil.is_hung(100 + t, used[t])]
    assert hung[0] == 20


def test_a_machine_that_stood_still_has_hung_nobody():
    vigil = Vigil(10.0, now=100.0, used=5.0)
    assert not any(vigil.is_hung(100 + t, 5.0) for t in range(9))
    assert not vigil.is_hung(400, 5.0)
    assert next(t for t in range(20) if vigil.is_hung(401 + t, 5.0)) == 9


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clocks of threads")
def test_a_process_whose_training_thread_hangs_ends_and_says_where():
    script = Path(__file__).with_name("hanging.py")
    command = [sys.executable, str(script), "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]
    assert "hanging.py" in done.stderr
