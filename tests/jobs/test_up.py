"""What `easq up` does before it starts anything, and what it finds wrong."""

from pathlib import Path

import pytest

from easq.log.interface import EVENTS, SAMPLES
from easq.log.lease import lease
from easq.log.sqlite import SqliteLog
from easq.train.config import load_config
from jobs.loop import Loop, LoopSettings
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


def test_one_folder_holds_one_loop(config_file: Path, tmp_path: Path):
    with lease(tmp_path / "up.lock"):
        with pytest.raises(ValueError, match=r"another process holds .*up\.lock: stop it"):
            up(config_file, tmp_path)
    assert not (tmp_path / "up.json").exists()


def test_a_server_of_mlflow_that_is_named_is_used_and_none_is_started(tmp_path: Path):
    file = tmp_path / "loop.toml"
    file.write_text(CONFIG.format(folder=tmp_path, uri="http://mlflow:5000"))
    loop = Loop(load_config(file), file, tmp_path, LoopSettings())
    assert loop.mlflow_url == "http://mlflow:5000"
    assert set(loop.supervisor.report()) == {"join", "serving", "train"}
