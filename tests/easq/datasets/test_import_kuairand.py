import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from easq.history import History
from jobs.import_kuairand import import_kuairand


def run(*arguments: object):
    app = typer.Typer()
    app.command()(import_kuairand)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_says_what_it_read_put_aside_and_wrote(folder, tmp_path):
    folder.rows += [folder.rows[0], "cut,short"]
    out = tmp_path / "out"
    result = run(folder.write(), "--out", out)
    assert result.exit_code == 0, result.output
    words = " ".join(result.output.split())
    assert f"10 rows in {folder.log}" in words
    assert "1 put aside: exact duplicate of another row" in words
    assert "1 put aside: 2 columns instead of 19" in words
    assert "8 rows in 5 lists over 3 days, 2022-04-25 to 2022-04-27" in words
    history = History.open(out)
    history.verify()
    assert [(source.name, source.rows) for source in history.description.sources] == [
        (folder.log, 10),
        ("user_features_pure.csv", 1),
        ("video_features_basic_pure.csv", 2),
    ]
    assert pq.read_table(out / "rejected.parquet").num_rows == 2


def test_importing_again_writes_the_same(folder, tmp_path):
    folder.write()
    digests = []
    for name in ("first", "second"):
        run(folder.path, "--out", tmp_path / name, "--lists", "last20")
        digests.append(History.open(tmp_path / name).description.digest)
    assert digests[0] == digests[1]


def test_a_failed_import_writes_nothing_and_keeps_the_older_one(folder, tmp_path):
    out = tmp_path / "out"
    run(folder.write(".gz"), "--out", out)
    path = folder.path / f"{folder.log}.gz"
    path.write_bytes(path.read_bytes()[:-9])
    assert isinstance(run(folder.path, "--out", out).exception, ValueError)
    History.open(out).verify()
    assert isinstance(run(folder.path, "--out", tmp_path / "new").exception, ValueError)
    with pytest.raises(FileNotFoundError):
        History.open(tmp_path / "new")
    assert not list(tmp_path.glob(".*"))
