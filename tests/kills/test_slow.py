"""A training slower than the stream, or that waits for what hangs: nothing is lost."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.loop import STATE
from jobs.loop_look import look

from .conftest import Process, resident_mb
from .test_faults import check_events, tell, under_load

pytestmark = [
    pytest.mark.ray,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc"),
]

STOPPED_SECONDS, GOING_SECONDS = 6.0, 0.15
"""Of a turn; a worker that is stopped for 10 s is taken for hung, and killed."""
SLOW_SECONDS, WARM_SECONDS, LOOK_SECONDS = 90.0, 45.0, 1.0
TOLD_SECONDS, HANG_SECONDS, IN_TIME_SECONDS = 10.0, 20.0, 2.0
GROWTH = 0.05
FEEDBACK_SECONDS, TOKENS = 15.0, {"token_seconds": "30"}
"""The joiner keeps a request as long as its token: for the usual hour, it would still fill up."""


def test_a_slow_training_is_told_of_and_loses_nothing(stage, tmp_path, capsys):
    with stage(1500, 1, FEEDBACK_SECONDS, serving=TOKENS) as it:
        it.wait_until(it.stands_by)
        with under_load(it, tmp_path / "viewers.jsonl", capsys) as drill:
            drill.watch(WARM_SECONDS)
            [worker], [joiner] = it.victims("worker"), it.victims("joiner")
            watched = {"worker": worker, "joiner": joiner}
            memory = {name: [resident_mb(process.pid)] for name, process in watched.items()}
            began = time.time()
            with slowed(worker):
                while time.time() < began + SLOW_SECONDS:
                    drill.watch(LOOK_SECONDS)
                    for name, process in watched.items():
                        memory[name].append(resident_mb(process.pid))
                during = alarms(it)
            ended = time.time()
            it.wait_until(lambda: told(it, "training of easq-ranker has caught up", ended))
            after, failed = alarms(it), drill.failed()
            assert worker.is_alive(), "it was slow, and was taken for hung"
        check_events(it, tmp_path / "viewers.jsonl", capsys)
    late = it.lag.first_beyond(it.loop.config.stream.fresh_seconds, began)
    raised = told(it, "training of easq-ranker is", began)
    cleared = told(it, "training of easq-ranker has caught up", ended)
    assert raised, "nothing was said"
    grown = {name: np.mean(mb[-10:]) / np.mean(mb[:10]) - 1 for name, mb in memory.items()}
    tell(
        capsys,
        {
            "fault": "a slow training",
            "most_behind_seconds": round(float(it.lag.between(began, ended).max()), 1),
            "late_seconds": round(late - began, 1),
            "told_after_seconds": round(raised - late, 1),
            "caught_up_seconds": round(cleared - ended, 1),
            "failed": failed,
            "memory_mb": {name: [round(min(mb)), round(max(mb))] for name, mb in memory.items()},
            "grown_percent": {name: round(100 * share, 2) for name, share in grown.items()},
            "told": [sentence for _, sentence in it.told if "behind" in sentence],
        },
    )
    assert raised - late < TOLD_SECONDS
    assert [said.partition(" is ")[0] for said in during] == ["training of easq-ranker"]
    assert after == []
    assert failed == 0
    assert max(grown.values()) < GROWTH


def test_a_reader_that_hangs_is_noticed_by_the_worker_that_waits_for_it(stage, tmp_path, capsys):
    with stage(1500, 1, FEEDBACK_SECONDS, hang_seconds=HANG_SECONDS) as it:
        it.wait_until(it.stands_by)
        with under_load(it, tmp_path / "viewers.jsonl", capsys) as drill:
            [reader], [worker] = it.victims("frozen reader"), it.victims("worker")
            at = it.kill("frozen reader", 0)
            it.wait_until(lambda: not worker.is_alive())
            noticed = time.time() - at
            it.wait_until(lambda: it.lag.frontier > at)
            it.wait_until(lambda: it.lag.seconds[-1] < IN_TIME_SECONDS)
            recovered, failed = time.time() - at, drill.failed()
            it.wait_until(lambda: not reader.is_alive())
        check_events(it, tmp_path / "viewers.jsonl", capsys)
    seconds = {"noticed_seconds": round(noticed, 1), "recovered_seconds": round(recovered, 1)}
    tell(capsys, {"fault": "a reader hangs", "failed": failed, **seconds})
    assert failed == 0
    assert noticed < 2 * HANG_SECONDS + TOLD_SECONDS


@contextmanager
def slowed(worker: Process) -> Iterator[None]:
    """Let a process run for a small share of the time alone."""
    stopping = threading.Event()

    def take_turns() -> None:
        while not stopping.wait(GOING_SECONDS):
            os.kill(worker.pid, signal.SIGSTOP)
            stopping.wait(STOPPED_SECONDS)
            os.kill(worker.pid, signal.SIGCONT)

    turns = threading.Thread(target=take_turns)
    turns.start()
    try:
        yield
    finally:
        stopping.set()
        turns.join()


def alarms(stage: Any) -> list[str]:
    """As `easq status --json` has them."""
    return look(json.loads((stage.loop.folder / STATE).read_text()))["alarms"]


def told(stage: Any, words: str, since: float) -> float:
    """When the loop first said so; 0: it has not."""
    return next((at for at, said in stage.told if at >= since and words in said), 0.0)
