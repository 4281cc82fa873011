"""A full version and its deltas come to the trainer's weights, bit for bit, or stop before."""

import sqlite3

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easq.delta import read_head
from easq.delta_chain import Chain, GapError, Lineage, MismatchError
from easq.log.interface import MODELS
from easq.state_digest import ServedWeights, StateDigest


class Follower:
    """A chain from a learner's weights, or from given weights at a window."""

    def __init__(self, run, weights: ServedWeights | None = None, window: int = 0) -> None:
        if weights is None:
            weights, window = run.weights(), run.learner.next_window
        schema_hash = run.learner.spec.schema_hash
        self.chain = Chain(weights, StateDigest(weights), window, schema_hash, "online")
        self.lineage = Lineage()

    def take(self, seq, row) -> bool:
        head = read_head(row["body"])
        self.lineage.note(head)
        step = self.chain.step(seq, head, row["payload"], self.lineage)
        if step is not None:
            self.chain.take(step)
        return step is not None

    def take_all(self, log) -> None:
        for seq, row in announced(log):
            self.take(seq, row)


def copy_of(weights: ServedWeights) -> ServedWeights:
    return ServedWeights(
        {n: t.clone() for n, t in weights.dense.items()},
        {w: t.clone() for w, t in weights.rows.items()},
    )


def announced(log) -> list[tuple[int, dict]]:
    rows = log.read(MODELS, 0, 0)
    return list(zip(rows.offsets.tolist(), rows.table.to_pylist(), strict=True))


def moved(before: ServedWeights, after: ServedWeights) -> tuple[bool, bool]:
    """Dense weights, and rows."""
    pairs = (before.dense, after.dense), (before.rows, after.rows)
    dense, rows = (any(not torch.equal(b[n], a[n]) for n in b) for b, a in pairs)
    return dense, rows


def assert_equal(one: ServedWeights, other: ServedWeights) -> None:
    for mine, theirs in ((one.dense, other.dense), (one.rows, other.rows)):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[n], theirs[n]) for n in mine)


@pytest.mark.parametrize("average_steps", [1, 8])
def test_deltas_lead_to_the_served_weights_bit_for_bit(online_run, average_steps):
    run = online_run(5, average_steps=average_steps)
    follower = Follower(run)
    for window in range(5):
        before = copy_of(follower.chain.weights)
        offset = run.learn()
        assert follower.take(*announced(run.log)[offset])
        assert follower.chain.place == (window + 1, run.digest(), offset, {0: 1000 * (window + 1)})
        assert all(moved(before, follower.chain.weights))
        assert_equal(follower.chain.weights, run.weights())
        assert StateDigest(follower.chain.weights).digest == run.digest()


def test_a_delta_holds_what_a_window_touched_and_nothing_else(online_run):
    run = online_run(2)
    before = run.weights().rows[64]
    follower = Follower(run)
    run.learn()
    (_, sent), moved = announced(run.log)[0], run.weights().rows[64] != before
    delta = follower.chain.step(0, read_head(sent["body"]), sent["payload"], Lineage()).delta
    touched = set(delta.rows[64].ids.tolist())
    assert set(moved.any(dim=1).nonzero().flatten().tolist()) <= touched
    assert 0 < len(touched) < len(before) / 2
    assert not [name for name in delta.dense if "satisfaction" in name]


def test_whatever_way_deltas_come_the_state_is_one_that_the_trainer_had(online_run):
    """Lost, repeated, out of order, in any mix."""
    run = online_run(5)
    first, states = run.weights(), {0: run.digest()}
    for window in range(5):
        run.learn()
        states[window + 1] = run.digest()
    rows = announced(run.log)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.integers(0, 4), max_size=12))
    def check(order):
        weights = copy_of(first)
        follower = Follower(run, weights)
        reached = 0
        for index in order:
            try:
                taken = follower.take(*rows[index])
            except GapError:
                assert index > reached
            else:
                assert taken == (index == reached)
                reached += taken
            assert follower.chain.place.window == reached
            assert StateDigest(weights).digest == states[reached] == follower.chain.place.digest

    check()


def test_what_a_log_that_is_away_missed_comes_with_the_next_window(online_run, caplog):
    run = online_run(4)
    follower = Follower(run)
    run.learn()
    lock = sqlite3.connect(run.log.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    assert run.learn() is None
    assert run.learn() is None
    lock.execute("ROLLBACK")
    offset = run.learn()
    assert len([r for r in caplog.records if "announced later" in r.message]) == 1
    head = read_head(announced(run.log)[offset][1]["body"])
    assert (head.after_window, head.window) == (1, 4)
    follower.take_all(run.log)
    assert_equal(follower.chain.weights, run.weights())


@pytest.mark.parametrize("value", [float("nan"), 1e5])
def test_weights_that_must_not_be_served_are_not_announced(online_run, value, caplog):
    run = online_run(2)
    run.learn()
    table = run.learner.state.tables.weight[64]
    row = int(table.abs().sum(dim=1).argmax())
    run.learner.touched[64][row] = True
    kept = table[row].clone()
    table[row] = value
    assert run.announcer.announce(run.learner, {}) is None
    assert "not finite" in caplog.text or "has norm" in caplog.text
    table[row] = kept
    assert run.learn() is not None


def test_a_version_of_later_windows_takes_only_the_deltas_after_it(online_run):
    run = online_run(4)
    run.learn()
    run.learn()
    follower = Follower(run)
    run.learn()
    taken = [follower.take(seq, row) for seq, row in announced(run.log)]
    assert taken == [False, False, True]
    assert_equal(follower.chain.weights, run.weights())
    assert follower.chain.has_passed(2, read_head(announced(run.log)[1][1]["body"]).digest)


def test_another_state_at_the_same_window_is_found(online_run):
    run = online_run(3)
    run.learn()
    follower = Follower(run)
    follower.chain.place = follower.chain.place._replace(digest="0" * 16)
    with pytest.raises(MismatchError, match="at window 1"):
        follower.take_all(run.log)


def test_a_state_with_one_wrong_row_takes_no_delta(online_run):
    run = online_run(2)
    follower = Follower(run)
    wrong = copy_of(follower.chain.weights)
    run.learn()
    (seq, row), lineage = announced(run.log)[0], Lineage()
    delta = follower.chain.step(seq, read_head(row["body"]), row["payload"], lineage).delta
    wrong.rows[64][min(set(range(1000)) - set(delta.rows[64].ids.tolist()))] += 1
    before = copy_of(wrong)
    with pytest.raises(MismatchError, match="the trainer had"):
        Follower(run, wrong).take(seq, row)
    assert_equal(wrong, before)


def restarted(run, tmp_path, changed: bool):
    """The trainer learns three windows, dies, and starts again from after the first."""
    run.learn()
    run.checkpoint(tmp_path)
    full = Follower(run)
    run.learn()
    run.learn()
    run.restore(tmp_path)
    if changed:
        run.learner.state.main.param_groups[0]["lr"] *= 2
    run.start(2)
    run.learn()
    return full


def test_a_trainer_that_starts_again_goes_on_where_replicas_are(online_run, tmp_path):
    run = online_run(5, average_steps=8)
    follower = restarted(run, tmp_path, changed=False)
    follower.take_all(run.log)
    assert follower.chain.place.window == 3
    run.learn()
    run.learn()
    follower.take_all(run.log)
    assert_equal(follower.chain.weights, run.weights())


def test_a_start_that_learns_otherwise_voids_what_the_one_before_announced(online_run, tmp_path):
    run = online_run(5)
    follower = restarted(run, tmp_path, changed=True)
    again = Follower(run, copy_of(follower.chain.weights), window=1)
    run.learn()
    run.learn()
    with pytest.raises(MismatchError, match="at window 3"):
        follower.take_all(run.log)
    for _, row in announced(run.log):
        again.lineage.note(read_head(row["body"]))
    again.take_all(run.log)
    assert_equal(again.chain.weights, run.weights())


def test_deltas_of_another_run_are_left_alone(online_run):
    run, other = online_run(2), online_run(2, seed=1)
    follower = Follower(run)
    follower.chain.run = "elsewhere"
    other.learn()
    follower.take_all(other.log)
    assert follower.chain.place.window == 0
