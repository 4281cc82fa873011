"""Who gets which rows of a window, and that a share survives its trip through Ray Data."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from easq.events import Answer
from easq.history import Window
from easq.stream import Windows, WindowSource, read_shares
from easq.train.share import WindowShare, pack, share_of, unpack

ANSWERS = st.lists(
    st.lists(st.sampled_from([Answer.NONE, Answer.NONE, Answer.SATISFIED]), max_size=4), max_size=9
)


def table_of(answers: list[list[int]]) -> pa.Table:
    return pa.table(
        {
            "request_id": pa.array([str(i) for i in range(len(answers))], pa.string()),
            "answer": pa.array(answers, pa.list_(pa.int8())),
        }
    )


def share(answers: list[list[int]], rank: int, world: int) -> WindowShare:
    window = Window(index=3, day="2022-04-25", file="f", start=0, end=len(answers))
    return share_of(table_of(answers), window, 7, rank, world)


@pytest.mark.parametrize("world", [1, 2, 3])
@given(answers=ANSWERS)
def test_every_row_reaches_one_rank_once_and_answered_rows_reach_all(world, answers):
    shares = [unpack(pack(share(answers, rank, world))) for rank in range(world)]
    rows = [s.rows.column("request_id").to_pylist() for s in shares]
    for rank in range(world):
        assert rows[rank] == [str(i) for i in range(len(answers)) if i % world == rank]
    answered = [i for i, given in enumerate(answers) if Answer.SATISFIED in given]
    for s in shares:
        assert s.num_requests == len(answers)
        assert s.answered_rows.tolist() == answered
        assert s.answered.column("request_id").to_pylist() == [str(i) for i in answered]


def test_a_share_comes_out_of_its_row_as_it_went_in():
    before = share([[0, 1], [], [0], [3]], rank=1, world=2)
    after = unpack(pack(before))
    assert after[:4] == before[:4] == (3, 7, "2022-04-25", 4)
    assert after.rows.equals(before.rows)
    assert after.answered.equals(before.answered)
    np.testing.assert_array_equal(after.answered_rows, [0, 3])


def test_planning_twice_reads_the_same_windows(make_history):
    """Ray Data plans a read several times; a plan that moved on would lose windows."""
    history = make_history(25)
    source = WindowSource(Windows(history.root, 10, start=1), rank=0, world_size=2)
    plans = [source.get_read_tasks(200) for _ in range(2)]
    assert [len(tasks) for tasks in plans] == [1, 1]
    read = [[unpack(row) for row in tasks[0]()] for tasks in plans]
    assert [[s.window for s in each] for each in read] == [[1, 2], [1, 2]]
    assert [s.num_requests for s in read[0]] == [10, 5]
    assert read[0][1].rows.equals(history.read(history.windows(10)[2]).take([0, 2, 4]))


def test_a_window_is_a_row_of_its_own(make_history):
    rows = list(read_shares(Windows(make_history(25).root, 10), 0, 1))
    assert [row.num_rows for row in rows] == [1, 1, 1]
