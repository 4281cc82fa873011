"""How often a window may fail, over the death of the process that counts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easq.history import Window
from easq.train.attempts import Attempts, give_up
from easq.train.lines import Lines
from easq.train.run_folder import QUARANTINE
from easq.train.share import share_of


def die_in(folder, window: int) -> None:
    Attempts(folder).begin(window)


def test_a_window_in_work_at_three_deaths_is_left_out(tmp_path):
    for deaths in range(4):
        assert Attempts(tmp_path).exhausted(7) == (deaths == 3)
        die_in(tmp_path, 7)


def test_a_death_between_windows_counts_against_none(tmp_path):
    for _ in range(4):
        attempts = Attempts(tmp_path)
        attempts.begin(7)
        attempts.learnt(7)
    assert not Attempts(tmp_path).exhausted(7)


def test_windows_that_are_learnt_again_on_the_way_keep_the_count_of_the_bad_one(tmp_path):
    for _ in range(3):
        attempts = Attempts(tmp_path)
        for window in (5, 6):
            attempts.begin(window)
            attempts.learnt(window)
        attempts.begin(7)
    assert [Attempts(tmp_path).exhausted(window) for window in (5, 6, 7)] == [False, False, True]


def test_a_window_that_was_learnt_after_all_begins_anew(tmp_path):
    for _ in range(2):
        die_in(tmp_path, 7)
    attempts = Attempts(tmp_path)
    attempts.begin(7)
    attempts.learnt(7)
    die_in(tmp_path, 7)
    assert not Attempts(tmp_path).exhausted(7)


def test_it_stays_left_out_when_it_is_met_again(tmp_path):
    for _ in range(3):
        die_in(tmp_path, 7)
    Attempts(tmp_path)
    assert Attempts(tmp_path).exhausted(7)


@pytest.mark.parametrize("contents", ["", '{"in_work": 7'])
def test_counts_that_a_power_cut_damaged_begin_anew(contents, tmp_path):
    (tmp_path / "attempts.json").write_text(contents)
    assert not Attempts(tmp_path).exhausted(7)


def test_a_window_given_up_is_reported_once_with_all_its_rows(tmp_path, random_samples):
    samples = random_samples(5)
    window = Window(index=7, day="", file="", start=0, end=5)
    for _ in range(2):
        for rank in range(2):
            give_up(tmp_path, share_of(samples, window, 9, rank, 2), rank)
    (line,) = Lines(tmp_path / QUARANTINE).new()
    assert (line["window"], line["attempts"], line["requests"]) == (7, 3, 5)
    kept = [pq.read_table(path) for path in sorted((tmp_path / line["rows"]).iterdir())]
    assert pa.concat_tables(kept).num_rows == 5


def test_a_window_of_other_features_is_reported_with_its_reason(tmp_path, random_samples):
    share = share_of(random_samples(5), Window(index=7, day="", file="", start=0, end=5), 9, 0, 1)
    give_up(tmp_path, share._replace(refused="its features are others"), 0)
    (line,) = Lines(tmp_path / QUARANTINE).new()
    assert (line["attempts"], line["reason"]) == (0, "its features are others")
    assert pq.read_table(tmp_path / line["rows"]).num_rows == 5


@pytest.mark.parametrize(("files", "megabytes"), [(3, 1000), (1000, 3)])
def test_the_rows_of_the_oldest_windows_make_room(
    files, megabytes, tmp_path, random_samples, monkeypatch, caplog
):
    samples = random_samples(5)
    shares = [
        share_of(samples, Window(index=n, day="", file="", start=0, end=5), 9, 0, 1)
        for n in range(6)
    ]
    give_up(tmp_path, shares[0], 0)
    (first,) = (tmp_path / "quarantine").iterdir()
    monkeypatch.setattr("easq.train.attempts.MOST_FILES", files)
    monkeypatch.setattr("easq.train.attempts.MOST_BYTES", megabytes * first.stat().st_size)
    for share in shares[1:]:
        give_up(tmp_path, share, 0)
    kept = sorted(path.name for path in (tmp_path / "quarantine").iterdir())
    assert kept == [f"window-00000{n}-rank-0.parquet" for n in (3, 4, 5)]
    assert [line["removed"] for line in Lines(tmp_path / QUARANTINE).new()] == [0, 0, 0, 1, 2, 3]
    assert "1 files of the oldest windows left out are removed" in caplog.text


def test_the_newest_window_is_kept_though_it_is_large(tmp_path, random_samples, monkeypatch):
    monkeypatch.setattr("easq.train.attempts.MOST_BYTES", 1)
    window = Window(index=7, day="", file="", start=0, end=5)
    give_up(tmp_path, share_of(random_samples(5), window, 9, 0, 1), 0)
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
