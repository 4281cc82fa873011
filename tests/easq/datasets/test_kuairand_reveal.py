"""What is hidden stays hidden: from answers, and from every other column."""

import numpy as np
import pytest

from easq.datasets.kuairand import import_files
from easq.datasets.kuairand_files import find_files
from easq.datasets.kuairand_lists import Lists
from easq.datasets.kuairand_reveal import is_revealed
from easq.samples import flatten

REVEALED = 0.3


def samples(folder, revealed: float):
    files = find_files(folder.write())
    return import_files(files, Lists.USER_DAY, 1 << 19, revealed).samples


@pytest.fixture
def liking(folder):
    """Sixty rows of one user, a third of them liked and a third hated."""
    folder.rows = [
        folder.row(
            1, 10 + n % 4, n // 10, hour=n % 10, is_like=int(n % 3 == 0), is_hate=int(n % 3 == 1)
        )
        for n in range(60)
    ]
    return folder


def test_hidden_likes_and_hates_are_in_no_column(liking):
    honest = samples(liking, REVEALED)
    shown = flatten(honest).answer
    assert 0 < (shown > 0).sum() < 40
    liking.rows = [
        row if answer else liking.row(1, 10 + n % 4, n // 10, hour=n % 10)
        for n, (row, answer) in enumerate(zip(liking.rows, shown, strict=True))
    ]
    assert samples(liking, REVEALED).equals(honest)


def test_nothing_and_everything_can_be_revealed(liking):
    assert not flatten(samples(liking, 0.0)).answer.any()
    assert (flatten(samples(liking, 1.0)).answer > 0).sum() == 40


def test_a_larger_share_reveals_the_answers_of_a_smaller_one_and_more():
    n = np.arange(4000)
    log = {"user_id": n % 50, "video_id": n % 70, "time_ms": n, "is_like": n % 2, "is_hate": 0 * n}
    few, many = is_revealed(log, 0.1), is_revealed(log, 0.5)
    assert not few[log["is_like"] == 0].any()
    assert not (few & ~many).any()
    assert 140 < few.sum() < 260
    assert 850 < many.sum() < 1150
