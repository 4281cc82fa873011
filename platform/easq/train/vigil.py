"""A training thread that hangs ends its process, so that Ray Train starts the group again.

Its process still answers then, and is not taken for hung (`easq.train.hung_workers`). In a group
the others give up waiting after a while; a worker alone would be waited for without end.
"""

import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

log = logging.getLogger(__name__)

WORKS = 0.02
"""Share of a core that whoever works has even on a crowded machine; polling for what does not come
takes less."""
Share = TypeVar("Share")


class Vigil:
    """Whether a thread has come round, or has worked, within a time."""

    def __init__(self, seconds: float, now: float, used: float) -> None:
        self.seconds, self.since, self.used, self.asked = seconds, now, used, now

    def come_round(self, now: float, used: float) -> None:
        """
        Args:
            now: of a clock that goes on, in seconds.
            used: CPU seconds of the thread until now.
        """
        self.since, self.used = now, used

    def is_hung(self, now: float, used: float) -> bool:
        """To be asked ten times in `seconds`."""
        was_frozen = now - self.asked > self.seconds / 2
        self.asked = now
        if was_frozen:  # who asks was held up as well, as all of a machine that stood still
            self.come_round(now, used)
        if (waited := now - self.since) < self.seconds:
            return False
        is_idle = used - self.used < WORKS * waited
        self.come_round(now, used)
        return is_idle


def watched(arriving: Iterator[Share], seconds: float) -> Iterator[Share]:
    """What arrives, in the thread that learns it; it is watched until the last of it has come.

    Where that thread neither asks for the next nor uses the CPU for so long, this process ends.
    Without clocks of threads, as on macOS, nothing is watched.
    """
    if not hasattr(time, "pthread_getcpuclockid"):
        yield from arriving
        return
    clock = time.pthread_getcpuclockid(threading.get_ident())
    vigil = Vigil(seconds, time.monotonic(), time.clock_gettime(clock))
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(seconds / 10):
            if vigil.is_hung(time.monotonic(), time.clock_gettime(clock)):
                _end(seconds)

    threading.Thread(target=watch, name="vigil", daemon=True).start()
    try:
        for each in arriving:
            vigil.come_round(time.monotonic(), time.clock_gettime(clock))
            yield each
    finally:
        stopping.set()


def _end(seconds: float) -> None:
    """At once: whatever else this process does, it may wait for what hangs."""
    log.error("training has hung for %.0f s, and with it ends this worker; its threads:", seconds)
    faulthandler.dump_traceback(sys.__stderr__ or sys.stderr)
    os.kill(os.getpid(), signal.SIGKILL)
