"""A delta comes back as it was sent, or is refused with a sentence."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from easq.announcements import ANNOUNCEMENT, DeltaHead
from easq.delta import Delta, decode, encode, read_head, touched_rows
from easq.state_digest import ServedWeights, TouchedRows

SERVED = ServedWeights(
    {"ranker.a": torch.zeros(32, 16), "ranker.b": torch.zeros(16)},
    {64: torch.zeros(3000, 64), 8: torch.zeros(70_000, 8)},
)
HEAD = DeltaHead(
    run="r",
    incarnation=1,
    after_window=3,
    window=4,
    learnt={0: 17},
    schema_hash="s",
    digest="d",
    payload_sha256="",
)


def delta_of(ids: dict[int, list[int]], **changes) -> Delta:
    dense = {n: torch.randn(t.shape) for n, t in SERVED.dense.items()}
    rows = {w: TouchedRows(torch.tensor(i), torch.randn(len(i), w)) for w, i in ids.items()}
    return Delta(HEAD.model_copy(update=changes), dense, rows)


def received(sent: Delta) -> Delta:
    row = encode(sent, 5).to_pylist()[0]
    return decode(read_head(row["body"]), row["payload"], SERVED, "s")


@settings(deadline=None)
@given(
    st.sets(st.integers(0, 2999), max_size=50),
    st.sets(st.one_of(st.integers(0, 300), st.integers(0, 69_999)), max_size=50),
)
def test_a_delta_comes_back_bit_for_bit(wide, narrow):
    sent = delta_of({64: sorted(wide), 8: sorted(narrow)})
    back = received(sent)
    assert back.head.model_copy(update={"payload_sha256": ""}) == sent.head
    for name, tensor in sent.dense.items():
        assert torch.equal(back.dense[name], tensor)
    for width, (ids, values) in sent.rows.items():
        assert torch.equal(back.rows[width].ids, ids.to(torch.int64))
        assert torch.equal(back.rows[width].values, values)


def test_an_announcement_is_one_row_of_the_topic():
    table = encode(delta_of({64: [1], 8: []}), 5)
    assert table.schema == ANNOUNCEMENT
    assert table.num_rows == 1


def test_touched_rows_are_copies_of_those_that_the_mask_names():
    table = torch.randn(6, 8)
    rows = touched_rows(table, torch.tensor([False, True, False, False, True, False]))
    assert rows.ids.tolist() == [1, 4]
    assert torch.equal(rows.values, table[[1, 4]])
    rows.values.zero_()
    assert table.abs().min() > 0


@pytest.mark.parametrize(
    ("width", "rows", "touched"), [(64, 10**6, 5000), (8, 10**6, 5000), (8, 10**6, 10**5)]
)
def test_bytes_are_at_most_a_tenth_above_those_of_what_moved(width, rows, touched):
    mask = torch.zeros(rows, dtype=torch.bool)
    mask[torch.randperm(rows, generator=torch.Generator().manual_seed(0))[:touched]] = True
    dense = {f"ranker.{i}": torch.randn(64, 16) for i in range(40)}
    delta = Delta(HEAD, dense, {width: touched_rows(torch.randn(rows, width), mask)})
    sent = encode(delta, 5)
    moved = 4 * (touched * width + sum(t.numel() for t in dense.values()))
    assert sent.nbytes <= 1.1 * moved


def refusal(sent: Delta, **changes) -> str:
    row = encode(sent, 5).to_pylist()[0] | changes
    with pytest.raises(ValueError, match="the delta of r up to window 4") as refused:
        decode(read_head(row["body"]), row["payload"], SERVED, "s")
    return str(refused.value)


def test_a_damaged_payload_is_refused():
    sent = delta_of({64: [1, 2], 8: [3]})
    payload = bytearray(encode(sent, 5).column("payload")[0].as_py())
    payload[-1] ^= 1
    assert "another sha256" in refusal(sent, payload=bytes(payload))
    assert "another sha256" in refusal(sent, payload=None)


def test_other_features_are_refused():
    assert "the served version has s" in refusal(delta_of({64: [1]}, schema_hash="t"))


@pytest.mark.parametrize("place", ["dense", "rows"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused(place, value):
    sent = delta_of({64: [1, 2]})
    (sent.dense["ranker.b"] if place == "dense" else sent.rows[64].values[1])[0] = value
    assert "not finite" in refusal(sent)


def test_another_model_is_refused():
    sent = delta_of({64: [1]})
    sent.dense["ranker.a"] = sent.dense["ranker.a"][:-1]
    assert "of another model: ['ranker.a'] differ" in refusal(sent)
    assert "['ranker.c'] differ" in refusal(
        sent._replace(dense=SERVED.dense | {"ranker.c": torch.zeros(2)})
    )


def test_rows_that_are_not_there_are_refused():
    assert "has row 3000 of width 64" in refusal(delta_of({64: [1, 3000]}))
    assert "unknown weights" in refusal(delta_of({32: [1]}))


@pytest.mark.parametrize("ids", [[4, 4], [5, 4]])
def test_rows_must_be_named_once_and_rising(ids):
    with pytest.raises(ValueError, match="must name each row"):
        encode(delta_of({64: ids}), 5)


@pytest.mark.parametrize(
    ("gaps", "sentence"),
    [
        (np.array([4, 0], np.uint8), "must name each row"),
        (np.array([4, 2**64 - 1], np.uint64), "counts rows of width 8 as uint64"),
        (np.array([4, -1], np.int16), "counts rows of width 8 as int16"),
    ],
)
def test_gaps_from_elsewhere_are_checked_too(gaps, sentence):
    tensors = {n: t.numpy() for n, t in SERVED.dense.items()}
    tensors |= {"rows.8.gaps": gaps, "rows.8": np.zeros((2, 8), np.float32)}
    payload = save(tensors)
    head = HEAD.model_copy(update={"payload_sha256": hashlib.sha256(payload).hexdigest()})
    with pytest.raises(ValueError, match=sentence):
        decode(head, payload, SERVED, "s")


def test_half_a_row_is_refused():
    sent = delta_of({64: [1, 2]})
    short = TouchedRows(sent.rows[64].ids, sent.rows[64].values[:1])
    assert "needs 2 rows of 64" in refusal(sent._replace(rows={64: short}))


def test_a_body_that_is_none_is_refused():
    with pytest.raises(ValueError, match="not what this code reads"):
        read_head('{"run": "r"}')
