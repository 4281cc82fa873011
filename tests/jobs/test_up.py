"""What `easq up` does before it starts anything, and what it finds wrong."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from easq.log.interface import EVENTS, SAMPLES
from easq.log.sqlite import SqliteLog
from easq.train.config import load_config
from jobs.demo import demo
from jobs.local_ray import slots
from jobs.loop import Loop
from jobs.loop_parts import DRIVERS, LoopSettings
from jobs.sole_loop import sole_loop
from jobs.up import up

CONFIG = """
[run]
name = "run"
storage = "{folder}/runs"

[data]
history = "{folder}/history"

[stream]
log = "sqlite:///{folder}/log.db"

[tracking]
uri = "{uri}"
"""

SLOW = """
import signal, sys, time
def stop(*_):
    time.sleep(1)
    print("ends", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("runs", flush=True)
time.sleep(600)
"""
KILLED = """
import sys, time
from pathlib import Path
from easq.train.config import load_config
from jobs.sole_loop import sole_loop
from jobs.supervisor import Part, Supervisor
folder = Path(sys.argv[2])
with sole_loop(load_config(Path(sys.argv[1])), folder) as held:
    Supervisor([Part("slow", ["slow"], {"PYTHONPATH": str(folder)})], folder, held).start()
    (folder / "guarded").touch()
    time.sleep(600)
"""


@pytest.fixture
def config_file(tmp_path: Path, mlflow_uri: str) -> Path:
    file = tmp_path / "loop.toml"
    file.write_text(CONFIG.format(folder=tmp_path, uri=mlflow_uri))
    return file


def test_the_log_is_as_wide_as_asked_for_whichever_part_opens_it_first(
    config_file: Path, tmp_path: Path
):
    settings = LoopSettings(log_partitions=3)
    loop = Loop(load_config(config_file), config_file, tmp_path, settings)
    loop.start("none of the parts")
    log = SqliteLog(tmp_path / "log.db")
    assert [log.partitions(topic) for topic in (EVENTS, SAMPLES)] == [3, 3]


def test_the_joiner_keeps_requests_as_long_as_the_service_signs_tokens_for(
    config_file: Path, tmp_path: Path
):
    settings = LoopSettings(serving={"token_seconds": "90"})
    loop = Loop(load_config(config_file), config_file, tmp_path, settings)
    [join] = [each.part for each in loop.supervisor.parts if each.part.name == "join"]
    assert join.module[join.module.index("--token-seconds") + 1] == "90"


def test_a_server_of_mlflow_that_is_named_is_used_and_none_is_started(tmp_path: Path):
    file = tmp_path / "loop.toml"
    file.write_text(CONFIG.format(folder=tmp_path, uri="http://mlflow:5000"))
    loop = Loop(load_config(file), file, tmp_path, LoopSettings())
    assert loop.mlflow_url == "http://mlflow:5000"
    assert set(loop.supervisor.report()) == {"join", "serving", "ray", "train"}


def test_only_the_lines_own_training_has_a_standby(config_file: Path, tmp_path: Path):
    line = config_file.with_name("other.toml")
    line.write_text(config_file.read_text().replace('"run"', '"other"'))
    settings = LoopSettings(standby=True)
    loop = Loop(load_config(config_file), config_file, tmp_path, settings, [line])
    parts = {each.part.name: each.part for each in loop.supervisor.parts}
    assert all(parts["train"]._replace(name=name) == parts[name] for name in DRIVERS)
    assert [name for name in parts if "train" in name] == ["train", "train-other"]
    [ray] = [each.part.module for each in loop.supervisor.parts if each.part.name == "ray"]
    assert int(ray[-1]) == slots(*[load_config(config_file).workers] * 3)


def test_workers_on_gpus_have_no_standby(config_file: Path, tmp_path: Path):
    config_file.write_text(config_file.read_text() + "[workers]\nuse_gpu = true\n")
    loop = Loop(load_config(config_file), config_file, tmp_path, LoopSettings(standby=True))
    assert "standby" not in {each.part.name for each in loop.supervisor.parts}


def test_a_second_loop_is_refused_wherever_it_is_started(config_file: Path, tmp_path: Path):
    other_run = config_file.with_name("other_run.toml")
    other_run.write_text(config_file.read_text().replace('"run"', '"other"'))
    other_log = config_file.with_name("other_log.toml")
    other_log.write_text(config_file.read_text().replace("log.db", "other.db"))
    with sole_loop(load_config(config_file), tmp_path / "here"):
        with pytest.raises(ValueError, match=r"another loop runs in .*here: stop it"):
            up(config_file, tmp_path / "here")
        with pytest.raises(ValueError, match="runs for run run: stop it, or choose another"):
            up(other_log, tmp_path / "there")
        with pytest.raises(ValueError, match=r"runs on .*log\.db: stop it, or choose another log"):
            up(other_run, tmp_path / "there")
    assert not list(tmp_path.rglob("up.json"))


def test_a_demo_is_a_loop_too(config_file: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)  # this process is not the demo's own
    with (
        sole_loop(load_config(config_file), tmp_path / "elsewhere"),
        pytest.raises(ValueError, match=r"another loop runs on .*log\.db"),
    ):
        demo(data=None, seconds=1, requests=100, out=tmp_path)
    assert not (tmp_path / "samples").exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="without it nobody waits for a part")
def test_a_loop_waits_for_the_parts_of_a_killed_one_to_end(config_file: Path, tmp_path: Path):
    (tmp_path / "slow.py").write_text(SLOW)
    killed = subprocess.Popen([sys.executable, "-c", KILLED, str(config_file), str(tmp_path)])
    log = tmp_path / "slow.log"
    wait_until(lambda: log.is_file() and log.read_text().endswith("\n"))
    wait_until((tmp_path / "guarded").exists)
    killed.kill()
    killed.wait()
    with sole_loop(load_config(config_file), tmp_path):
        assert log.read_text().split() == ["runs", "ends"]


def wait_until(fact: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)
