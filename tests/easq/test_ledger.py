"""Accepted events against what the log holds of them, on a log written by hand."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from easq.events import EVENT
from easq.ledger import (
    AcceptedLine,
    Ledger,
    Progress,
    RankedLine,
    read_ledger,
    read_progress,
    verdict,
)
from easq.log.connect import open_log
from easq.log.interface import EVENTS, SAMPLES, Log
from easq.samples import SEALED


def _progress(events: dict[str, int], sealed: list[str], decided_before: int) -> Progress:
    return Progress(events, Counter(sealed), decided_before)


def test_each_fate_of_an_event():
    part = _progress(
        {"once": 1, "twice": 2, "passed over": 3, "waits": 7, "unread": 4},
        ["once", "twice", "twice", "unread"],
        decided_before=5,
    )
    told = verdict(["once", "twice", "passed over", "waits", "never written"], [part])
    assert told.once == 1
    assert told.twice == {"twice": 2}
    assert told.lost == ["never written", "passed over"]
    assert told.open == ["waits"]
    assert told.unconfirmed == 1


def test_partitions_are_judged_by_their_own_progress():
    behind = _progress({"a": 10}, [], decided_before=4)
    ahead = _progress({"b": 10}, [], decided_before=20)
    told = verdict(["a", "b"], [behind, ahead])
    assert (told.open, told.lost) == (["a"], ["b"])


def test_an_event_in_the_samples_of_two_partitions_counts_twice():
    parts = [_progress({"a": 1}, ["a"], 5), _progress({}, ["a"], 5)]
    assert verdict(["a"], parts).twice == {"a": 2}


def _append_events(log: Log, kinds_and_ids: list[tuple[str, str]]) -> None:
    rows = [
        {"kind": kind, "event_id": event_id, "user_id": 1, "received_at_ms": 1}
        for kind, event_id in kinds_and_ids
    ]
    log.append(EVENTS, 0, pa.Table.from_pylist(rows, schema=EVENT))


def _append_window(log: Log, event_ids: list[list[str]], resume_offset: int) -> None:
    nothing = {f.name: [] if pa.types.is_list(f.type) else 0 for f in SEALED}
    rows = [nothing | {"event_ids": ids, "resume_offset": resume_offset} for ids in event_ids]
    log.append(SAMPLES, 0, pa.Table.from_pylist(rows, schema=SEALED))


@pytest.fixture
def log(tmp_path: Path):
    log = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    yield log
    log.close()


def test_a_log_is_read_up_to_where_the_joiner_has_decided(log):
    _append_events(log, [("impression", "r"), ("behaviour", "b1"), ("answer", "a1")])
    _append_events(log, [("behaviour", "b1"), ("tick", "t"), ("behaviour", "b2")])
    _append_window(log, [["a1"]], resume_offset=0)
    _append_window(log, [["b1"], []], resume_offset=3)
    part = read_progress(log, 0)
    assert part == Progress({"b1": 1, "a1": 2, "b2": 5}, Counter({"a1": 1, "b1": 1}), 3)
    assert verdict(["a1", "b1", "b2"], [part]).open == ["b2"]
    assert verdict(["a1", "b1", "b2"], [read_progress(log, 0, decided=True)]).lost == ["b2"]


def test_an_empty_log_has_lost_what_was_accepted(log):
    assert verdict(["a"], [read_progress(log, 0)]).lost == ["a"]


def test_a_ledger_is_read_as_written_up_to_the_last_whole_line(tmp_path):
    path = tmp_path / "runs" / "ledger.jsonl"
    lines = [
        RankedLine(request_id="r", at_seconds=1.5, version=3, seq=-1, milliseconds=2.5),
        AcceptedLine(request_id="r", at_seconds=2.5, event_id="r.0.b", event="behaviour"),
    ]
    with Ledger(path) as ledger:
        ledger.write(lines[:1])
        assert list(read_ledger(path)) == lines[:1]
        ledger.write(lines[1:])
    with path.open("a") as file:
        file.write('{"kind": "accep')
    assert list(read_ledger(path)) == lines
    with pytest.raises(FileExistsError):
        Ledger(path)
