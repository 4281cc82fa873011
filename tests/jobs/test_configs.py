"""The shipped configurations are read, and what is wrong with another is said in a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ray.runtime_env import RuntimeEnv

from easq.train.config import load_config, parse_config
from jobs.loop_parts import DRAIN_SECONDS

INFRA = Path(__file__).parents[2] / "infra" / "config"
CONFIGS = sorted(INFRA.glob("*.toml"))
MINIMAL = {"run": {"name": "a", "storage": "s"}, "data": {"history": "h"}}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_configuration_is_read(path):
    assert load_config(path).run.storage.is_absolute()


def test_a_job_that_is_stopped_has_as_long_as_a_part_that_drains():
    """Ray's own 3 seconds are less than a drain takes."""
    environment = RuntimeEnv(**yaml.safe_load((INFRA / "job.yaml").read_text()))
    variables = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": f"{DRAIN_SECONDS:g}"}
    assert environment.env_vars() == variables


def test_paths_and_databases_are_made_absolute():
    stream = {"log": "sqlite:///x/l.db", "models": "sqlite:///x/m.db"}
    tables = {"tracking": {"uri": "sqlite:///x/mlflow.db"}, "stream": stream}
    config = parse_config(MINIMAL | tables, "test")
    assert config.stream is not None
    assert config.stream.log == f"sqlite:///{Path.cwd() / 'x' / 'l.db'}"
    assert config.stream.models == f"sqlite:///{Path.cwd() / 'x' / 'm.db'}"
    assert config.tracking is not None
    assert config.tracking.uri == f"sqlite:///{Path.cwd() / 'x' / 'mlflow.db'}"
    assert config.data.history == Path.cwd() / "h"


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ({"optim": {"bach": 8}}, "unknown key optim.bach"),
        ({"run": {"storage": "s"}}, "run.name is missing"),
        ({"optim": {"batch": "many"}}, r"optim.batch: .*integer.*got 'many'"),
        ({"optim": {"batch": 9}, "workers": {"num": 2}}, "multiple of workers.num"),
        ({"workers": {"backend": "nccl"}}, "nccl needs use_gpu"),
        ({"workers": {"labels": {"role": "in(a,b)"}}}, "workers.labels.role"),
        ({"order": {"positives": ["shrug"]}}, "unknown behaviours"),
        ({"data": {"history": "h", "window": 0}}, "data.window"),
        ({"data": {"history": "h", "window": True}}, "data.window"),
        ({"optim": {"learning_rate": float("inf")}}, "learning_rate"),
        ({"loss": {"space": "log"}}, "positive"),
        ({"loss": {"offset": 0.2}, "model": {"method": "emer"}}, "offset adds what"),
        ({"loss": {"offset": 0.2, "satisfaction": 0.0}}, "offset adds what"),
        ({"model": {"width": 30, "heads": 4}}, "multiple of heads"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(tables, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_config(MINIMAL | tables, "test")


def test_a_missing_file_and_broken_toml_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="no configuration file"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("[run")
    with pytest.raises(ValueError, match="is not TOML"):
        load_config(tmp_path / "broken.toml")


def test_changes_replace_settings_by_dotted_key(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('[run]\nname = "a"\nstorage = "s"\n[data]\nhistory = "h"\n')
    assert load_config(path, {"optim.batch": 64, "run.seed": 3}).optim.batch == 64


def test_a_place_that_cannot_hold_samples_is_a_sentence_and_exit_code_2(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "simulate"]
    run = subprocess.run([*command, tmp_path / "file" / "x"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert str(tmp_path / "file") in run.stderr
