"""Workers stop at the same window, whoever hears of it first; signals and files ask for it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest

from easq.log.sqlite import SqliteLog
from easq.train.config import parse_config
from easq.train.drain import ask_to_drain, drain_asked, is_running, running
from easq.train.run_folder import claim
from easq.train.trainer import drain_first, signals_kept

VOTER = Path(__file__).with_name("voter.py")


@pytest.mark.parametrize("idle", [0, 1])
def test_two_workers_stop_at_the_same_window_when_one_has_the_next_and_one_has_not(
    idle, make_history, append_windows, tmp_path
):
    tables = {
        "run": {"name": "run", "storage": str(tmp_path)},
        "data": {"history": str(make_history(20).root), "window": 20},
        "model": {"width": 32},
        "workers": {"num": 2},
        "stream": {"log": f"sqlite:///{tmp_path / 'log.db'}"},
    }
    append_windows(SqliteLog(tmp_path / "log.db"), 0, 5)
    config = parse_config(tables, "test")
    claim(config, make_history(20).description)
    places = [str(tmp_path / "store"), *(str(tmp_path / f"rank-{rank}") for rank in range(2))]
    arguments = [json.dumps(config.model_dump(mode="json")), places[0]]
    started = [
        subprocess.Popen(
            [sys.executable, VOTER, *arguments, places[1 + rank], str(rank), str(idle)]
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=240) for worker in started] == [0, 0]
    ends = [json.loads(Path(place).read_text()) for place in places[1:]]
    assert ends[0] == ends[1]
    assert (ends[0]["drained"], ends[0]["next_window"], ends[0]["offsets"]) == (True, 3, {"0": 40})


@pytest.mark.parametrize("drained_by_file", [False, True])
def test_the_first_signal_drains_and_only_an_interrupt_after_it_aborts(tmp_path, drained_by_file):
    aborted = []
    if drained_by_file:
        ask_to_drain(tmp_path)
    with signals_kept():
        drain_first(tmp_path, lambda number, _: aborted.append(number), claimed := Event())
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert drain_asked(tmp_path) == drained_by_file
        claimed.set()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (drain_asked(tmp_path), aborted) == (True, [])
        os.kill(os.getpid(), signal.SIGINT)
        assert aborted == [signal.SIGINT]


def test_a_run_started_again_is_not_drained_by_the_wish_of_the_last_time(make_history, tmp_path):
    tables = {"run": {"name": "a", "storage": str(tmp_path)}, "data": {"history": "h"}}
    config, history = parse_config(tables, "test"), make_history(5).description
    claim(config, history)
    ask_to_drain(tmp_path / "a")
    claim(config, history)
    assert not drain_asked(tmp_path / "a")


def test_a_run_is_running_for_as_long_as_one_process_trains_it(tmp_path):
    assert not is_running(tmp_path)
    with running(tmp_path):
        with running(tmp_path):
            assert is_running(tmp_path)
        assert is_running(tmp_path)
    assert not is_running(tmp_path)
