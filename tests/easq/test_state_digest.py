"""The digest of a state: the same however one came there, another for any other state."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from easq.state_digest import ServedWeights, StateDigest, TouchedRows, row_hashes

ROWS = {64: 40, 8: 9}


def random_weights(seed: int) -> ServedWeights:
    g = torch.Generator().manual_seed(seed)
    dense = {n: torch.randn(*shape, generator=g) for n, shape in (("a", (5, 3)), ("b", (7,)))}
    return ServedWeights(dense, {w: torch.randn(n, w, generator=g) for w, n in ROWS.items()})


def digest(weights: ServedWeights) -> str:
    return StateDigest(weights).digest


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.sets(st.integers(0, 8))), max_size=6))
def test_following_the_touched_rows_comes_to_the_digest_of_the_whole_state(changes):
    weights = random_weights(0)
    followed = StateDigest(weights)
    for seed, touched in changes:
        new, ids = random_weights(seed), torch.tensor(sorted(touched), dtype=torch.int64)
        rows = {w: TouchedRows(ids, new.rows[w][ids]) for w in ROWS}
        for width, (_, values) in rows.items():
            weights.rows[width][ids] = values
        change = followed.after(new.dense, rows)
        followed.take(change)
        weights = weights._replace(dense=new.dense)
        assert followed.digest == change.digest == digest(weights)


def test_asking_for_a_digest_changes_nothing():
    weights = random_weights(0)
    followed, new = StateDigest(weights), random_weights(1)
    ids = torch.tensor([2, 5])
    followed.after(new.dense, {64: TouchedRows(ids, new.rows[64][ids])})
    assert followed.digest == digest(weights)


@settings(deadline=None)
@given(st.sampled_from([64, 8]), st.integers(0, 8), st.integers(0, 7), st.integers(0, 31))
def test_a_flipped_bit_changes_the_digest(width, row, place, bit):
    weights = random_weights(0)
    before = digest(weights)
    bits = weights.rows[width].view(torch.int32)
    bits[row, place] ^= (1 << bit) - (1 << 32) * (bit == 31)
    assert digest(weights) != before


@settings(deadline=None)
@given(st.integers(0, 14), st.integers(0, 31))
def test_a_flipped_bit_of_a_dense_weight_changes_the_digest(place, bit):
    weights = random_weights(0)
    before = digest(weights)
    weights.dense["a"].view(torch.int32).view(-1)[place] ^= (1 << bit) - (1 << 32) * (bit == 31)
    assert digest(weights) != before


@settings(deadline=None)
@given(st.integers(0, 8), st.integers(0, 8))
def test_rows_that_change_places_change_the_digest(one, other):
    weights = random_weights(0)
    before = digest(weights)
    weights.rows[8][[one, other]] = weights.rows[8][[other, one]]
    assert (digest(weights) == before) == (one == other)


@settings(deadline=None)
@given(st.sets(st.integers(0, 63), min_size=1))
def test_signs_that_flip_in_several_places_do_not_cancel(places):
    weights = random_weights(0)
    before = digest(weights)
    weights.rows[64][3, sorted(places)] *= -1
    assert digest(weights) != before


def test_equal_rows_of_different_tables_and_places_have_different_hashes():
    same = np.ones((1000, 8), np.float32)
    hashes = [row_hashes(name, np.arange(1000), same) for name in ("rows.8", "rows.64")]
    assert len(np.unique(np.concatenate(hashes))) == 2000


def test_a_digest_stays_what_it_is():
    """Trainer and replica may be of different releases."""
    rows = {8: torch.arange(24, dtype=torch.float32).view(3, 8)}
    assert digest(ServedWeights({"ranker.a": torch.ones(3)}, rows)) == "2bdd6742a9b8f752"
