"""The joiner's loop: all partitions of a process, in turn, until told to stop."""

import logging
import math
import time
from collections.abc import Callable

from easq.join_log import JoinedPartition
from easq.log.interface import EVENTS, LogError

TRIM_SECONDS = 60.0
logger = logging.getLogger(__name__)


def run_join(
    partitions: list[JoinedPartition],
    stopped: Callable[[float], bool],
    poll_seconds: float,
    report: Callable[[list[JoinedPartition]], None],
) -> None:
    """Join what comes.

    Args:
        stopped: waits so many seconds and says whether to stop (threading.Event.wait).
        report: called each time round.
    """
    while not stopped(0.0):
        idle = [partition for partition in partitions if not partition.step()]
        tick(idle, partitions, now_ms())
        report(partitions)
        if len(idle) == len(partitions):
            stopped(poll_seconds)


def keep_trimmed(
    partitions: list[JoinedPartition],
    stopped: Callable[[float], bool],
    retention_seconds: float,
    needed_from: Callable[[int], float],
) -> None:
    """Forget what is old, again and again: in a thread, as the joiner may wait for room.

    Args:
        needed_from: the first offset of a partition of `samples` that is kept however old it is.
    """
    while True:
        for partition in partitions:
            before = now_ms() - round(1000 * retention_seconds)
            try:
                partition.trim(before, needed_from(partition.partition))
            except (
                LogError,
                OSError,
                ValueError,
            ) as error:  # a checkpoint that cannot be read, too
                logger.warning("nothing is forgotten in this turn: %s", error)
        if stopped(TRIM_SECONDS):
            return


def tick(idle: list[JoinedPartition], partitions: list[JoinedPartition], now: int) -> None:
    """Let time pass, in Unix ms, where something waits for it and no event says so."""
    newest = max(partition.newest_rows_ms for partition in partitions)
    in_parts = len(partitions) < partitions[0].log.partitions(EVENTS)
    in_use = in_parts or any(partition.joiner.due_ms < math.inf for partition in partitions)
    for partition in idle:
        # A reader takes a window once every partition has a later one to compare it with.
        is_behind = newest > 0 and partition.joiner.sealer.sealed_at_ms <= newest
        if now >= partition.due_ms(partition.several and (in_use or is_behind)):
            partition.tick(now)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
