"""What the train command says, in sentences, when it cannot train."""

from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from easq.manifest import write_manifest
from easq.train.budget import BudgetState
from easq.train.config import load_config
from easq.train.lines import Lines
from easq.train.position import Position
from jobs.progress import line
from jobs.train import dropped_budget, train

CONFIG = '[run]\nname = "a"\nstorage = "runs"\n[data]\nhistory = "nowhere"\n'


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("optim.bach=3", "unknown key optim.bach"),
        ("optim.batch=0", "optim.batch: Input should be greater than or equal to 1, got 0"),
        ('optim.batch="many"', "optim.batch: Input should be a valid integer"),
        ("optim.batch", "--set optim.batch: expected key=value"),
    ],
)
def test_a_setting_that_is_not_understood_exits_2_and_is_named(change, sentence, config):
    result = run(config, "--set", change)
    assert (result.exit_code, sentence in result.stderr) == (2, True), result.stderr


def test_a_missing_configuration_exits_2(tmp_path):
    result = run(tmp_path / "nothing.toml")
    assert (result.exit_code, "there is no configuration file" in result.stderr) == (2, True)


def test_missing_samples_exit_2_and_say_how_to_make_some(config, tmp_path):
    result = run(config, "--set", f"data.history={tmp_path}/none")
    assert (result.exit_code, "holds no samples" in result.stderr) == (2, True)
    assert "easq import" in result.stderr


BUDGET = {
    "budget.behaviour_loss_percent": 1.0,
    "loss.alignment": 0.0,
    "loss.offset": 0.25,
}


def test_a_run_that_loses_its_budget_says_where_gamma_goes(config, tmp_path):
    with_budget = load_config(config, BUDGET | {"run.storage": str(tmp_path)})
    without = with_budget.model_copy(update={"budget": None})
    assert dropped_budget(without) is None  # nothing is learnt yet
    checkpoint = tmp_path / "a" / "window-000012"
    checkpoint.mkdir(parents=True)
    learnt = Position(schema_hash="", budget=BudgetState(gamma=0.4321))
    (checkpoint / "state.json").write_text(learnt.model_dump_json())
    write_manifest(checkpoint, ["state.json"])
    said = dropped_budget(without)
    assert said is not None
    assert "gamma goes from 0.432, where the budget had it, to loss.offset = 0.25" in said
    assert dropped_budget(with_budget) is None
    (checkpoint / "state.json").write_text(Position(schema_hash="").model_dump_json())
    write_manifest(checkpoint, ["state.json"])
    assert dropped_budget(without) is None


def test_a_growing_file_gives_complete_lines_once_and_a_replaced_one_again(tmp_path):
    path = tmp_path / "windows.jsonl"
    lines = Lines(path)
    assert lines.new() == []
    path.write_text('{"window": 0}\n{"win')
    assert lines.new() == [{"window": 0}]
    with path.open("a") as file:
        file.write('dow": 1}\n')
    assert lines.new() == [{"window": 1}]
    assert lines.new() == []
    (tmp_path / "new").write_text('{"window": 0}\n')
    (tmp_path / "new").replace(path)
    assert lines.new() == [{"window": 0}]


def test_a_window_is_told_in_a_line():
    record = {
        "window": 2,
        "num_windows": 20,
        "day": "2022-04-25",
        "requests": 4096,
        "requests_per_second": 1234.5,
        "loss/main": 0.65432,
        "behaviour/ndcg_5": 0.5,
    }
    assert line(record) == (
        "window 3/20  2022-04-25  4,096 requests  1,234/s  main 0.6543  NDCG@5 behaviour 0.5000"
    )


def test_a_window_of_the_log_is_told_with_its_lag_and_without_an_end():
    record = {
        "window": 20,
        "num_windows": 20,
        "day": "2022-04-25",
        "requests": 96,
        "requests_per_second": 320.0,
        "lag_seconds": 0.26,
    }
    assert line(record) == "window 21  2022-04-25  96 requests  320/s  lag 0.3 s"


def test_a_file_that_is_replaced_while_it_is_opened_is_read_from_its_start(tmp_path, monkeypatch):
    path = tmp_path / "windows.jsonl"
    path.write_text('{"window": 0}\n{"window": 1}\n')
    lines = Lines(path)
    lines.new()
    opened = Path.open

    def open_and_replace(self: Path, *arguments):
        file = opened(self, *arguments)
        with opened(tmp_path / "new", "w") as other:
            other.write('{"window": 2}\n{"window": 3}\n{"window": 4}\n')
        (tmp_path / "new").replace(path)
        monkeypatch.setattr(Path, "open", opened)
        return file

    monkeypatch.setattr(Path, "open", open_and_replace)
    assert lines.new() == []
    assert [record["window"] for record in lines.new()] == [2, 3, 4]
