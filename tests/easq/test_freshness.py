"""An answer is fresh once a response has learnt from it."""

import numpy as np
import pyarrow as pa

from easq.announcements import DeltaHead
from easq.freshness import Learnt, Place, Response, freshness, learnt, places


def test_an_event_is_used_by_the_first_response_after_the_delta_that_learnt_its_sample():
    deltas = [Learnt(3, {0: 10}), Learnt(5, {0: 20})]
    where = {"a": Place(0, 9), "b": Place(0, 10), "c": Place(0, 25), "d": Place(1, 0)}
    responses = [Response(1.0, -1), Response(2.0, 3), Response(3.5, 5), Response(3.0, 4)]
    accepted = {"a": 0.5, "b": 1.5, "c": 0.0, "d": 0.0, "unknown": 0.0}
    assert freshness(accepted, where, deltas, responses) == {"a": 1.5, "b": 2.0}


def test_a_response_before_the_event_was_accepted_does_not_count():
    used = freshness(
        {"a": 2.5}, {"a": Place(0, 0)}, [Learnt(1, {0: 5})], [Response(2.0, 7), Response(4.0, 7)]
    )
    assert used == {"a": 1.5}


def test_places_and_learnt_are_read_from_the_rows_of_the_log():
    samples = pa.table({"event_ids": [["a", "b"], ["b"], []]})
    assert places(2, np.array([4, 5, 9]), samples) == {"a": Place(2, 4), "b": Place(2, 4)}
    head = DeltaHead(
        run="r",
        incarnation=1,
        after_window=3,
        window=4,
        learnt={0: 7},
        schema_hash="s",
        digest="d",
        payload_sha256="p",
    )
    rows = pa.table({"kind": ["rollout", "delta"], "body": ["{}", head.model_dump_json()]})
    assert learnt(np.array([11, 12]), rows) == [Learnt(12, {0: 7})]
