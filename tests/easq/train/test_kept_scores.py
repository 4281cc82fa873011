"""Kept scores come back in the order of the samples, of one training, or not at all."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from easq.samples import flatten
from easq.train.kept_scores import keep_scores, kept_scores
from easq.train.learner import WindowScores
from easq.train.share import share_of


@pytest.fixture
def keep(make_history, tmp_path, monkeypatch):
    """keep(window, world): every rank keeps scores that number the candidates of the history."""
    history = make_history(23)
    windows = history.windows(10)
    offsets = np.cumsum([0, *(flat_of(history, window).request.size for window in windows)])

    def write(number: int, world: int, ranks: range | None = None) -> int:
        window, table = windows[number], history.read(windows[number])
        every = flatten(table)
        for rank in ranks or range(world):
            monkeypatch.setattr("easq.train.kept_scores.rank", lambda rank=rank: rank)
            monkeypatch.setattr("easq.train.kept_scores.world_size", lambda: world)
            rows = share_of(table, window, len(windows), rank, world).rows
            mine = np.isin(every.request, np.arange(rank, table.num_rows, world))
            main = (offsets[number] + np.arange(len(every.request)))[mine].astype(np.float32)
            flat = flatten(rows)
            keep_scores(WindowScores(flat, main, None, {}), number, tmp_path)
        return int(offsets[-1])

    return write


def flat_of(history, window):
    return flatten(history.read(window))


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_scores_of_several_workers_come_back_in_the_order_of_the_samples(keep, tmp_path, world):
    candidates = [keep(window, world) for window in range(3)][-1]
    np.testing.assert_array_equal(kept_scores(tmp_path), np.arange(candidates))


@pytest.mark.parametrize(("before", "after"), [(3, 1), (1, 3), (2, 3)])
def test_a_window_scored_again_by_other_workers_is_read_once(keep, tmp_path, before, after):
    for window in range(3):
        keep(window, before)
    candidates = [keep(window, after) for window in (1, 2)][-1]
    np.testing.assert_array_equal(kept_scores(tmp_path), np.arange(candidates))


def test_a_window_that_lacks_a_worker_is_refused_and_named(keep, tmp_path):
    keep(0, 2)
    keep(1, 2, ranks=range(1))
    with pytest.raises(ValueError, match=r"window-000001 should hold .* \['rank-0-of-2.parquet'\]"):
        kept_scores(tmp_path)


def test_files_of_two_trainings_are_refused(keep, tmp_path):
    keep(0, 2)
    file = tmp_path / "scores" / "window-000000" / "rank-0-of-2.parquet"
    table = pq.read_table(file)
    pq.write_table(table.slice(0, 2), file)
    with pytest.raises(ValueError, match="not of one training"):
        kept_scores(tmp_path)


def test_a_run_without_scores_says_how_to_keep_them(tmp_path):
    with pytest.raises(ValueError, match=r"run\.keep_scores = true"):
        kept_scores(tmp_path)
