"""A path that cannot be used is a sentence with its name and exit code 2, before any work."""

import sys

import pytest

from jobs import cli
from jobs.simulate import simulate


def run(monkeypatch, capsys, *arguments: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["easq", *(str(a) for a in arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.app()
    return ended.value.code, capsys.readouterr().err


def test_a_name_that_is_too_long_is_named(monkeypatch, capsys, tmp_path):
    code, said = run(monkeypatch, capsys, "simulate", tmp_path / ("x" * 300), "--requests", 8)
    assert (code, "File name too long" in said) == (2, True)


def test_viewers_who_visit_are_not_simulated_on_a_cluster(monkeypatch, capsys, tmp_path):
    code, said = run(
        monkeypatch, capsys, "simulate", tmp_path / "h", "--visits", "--address", "127.0.0.1:1"
    )
    assert (code, "a day follows from the one before it" in said) == (2, True)


def test_a_run_that_cannot_be_stored_is_named(monkeypatch, capsys, tmp_path, make_history):
    config = tmp_path / "train.toml"
    config.write_text(
        f'[run]\nname = "a"\nstorage = "{tmp_path}/{"s" * 300}"\n'
        f'[data]\nhistory = "{make_history(5).root}"\n'
    )
    code, said = run(monkeypatch, capsys, "train", config)
    assert (code, "File name too long" in said) == (2, True)


def test_a_folder_with_other_things_is_refused_before_simulating(monkeypatch, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.setattr("jobs.simulate.write_simulation", lambda *_: pytest.fail("it worked"))
    with pytest.raises(ValueError, match="holds other things"):
        simulate(out=tmp_path, requests=8)
