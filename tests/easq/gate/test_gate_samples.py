"""What the gate reads from topic `samples`: nothing old as new, and the last answers."""

from typing import Any

import pyarrow as pa
import pytest

from easq.gate_samples import GateSamples, ends, last_answered
from easq.log.interface import SAMPLES
from easq.log.sqlite import SqliteLog
from easq.samples import ANSWER_SAMPLE, BEHAVIOUR_SAMPLE, SEALED


def sealed(samples: pa.Table, window_rows: int | None = None) -> pa.Table:
    n = samples.num_rows
    columns: dict[str, Any] = {f.name: [0] * n for f in SEALED}
    columns |= {"event_ids": [[]] * n, "propensity": [[]] * n}
    columns["window_rows"] = [n if window_rows is None else window_rows] * n
    beside = pa.table(columns, schema=SEALED)
    for field in SEALED:
        samples = samples.append_column(field, beside.column(field.name))
    return samples


def kind(samples: pa.Table, value: str) -> pa.Table:
    index = samples.schema.get_field_index("kind")
    return samples.set_column(
        index, samples.schema.field(index), pa.array([value] * samples.num_rows)
    )


def given(samples: pa.Table) -> int:
    return sum(a != 0 for answers in samples.column("answer").to_pylist() for a in answers)


@pytest.fixture
def log(tmp_path) -> SqliteLog:
    return SqliteLog(tmp_path / "log.db", partitions=2)


def test_the_last_answers_are_taken_whole_requests_at_a_time(random_samples):
    samples = random_samples(300, answer_share=0.1)
    kept = last_answered(samples, 50)
    assert 50 <= given(kept) < 60
    assert given(kept.slice(1)) < 50
    assert kept.column("request_id").to_pylist()[-1] >= "r000250"
    assert given(last_answered(samples, 10_000)) == given(samples)


def test_answers_are_found_in_what_was_before_and_newest_only_in_what_comes(
    log, spec, random_samples
):
    log.append(SAMPLES, 0, sealed(random_samples(200, seed=1)))
    log.append(SAMPLES, 1, sealed(random_samples(200, seed=2)))
    samples = GateSamples(log, spec, ends(log), least_answers=60, most_requests=1000)
    samples.take()
    assert samples.newest.num_rows == 0
    assert given(samples.answers) >= 60
    log.append(SAMPLES, 1, sealed(kind(random_samples(30, seed=3), BEHAVIOUR_SAMPLE)))
    log.append(SAMPLES, 0, sealed(kind(random_samples(20, seed=4), ANSWER_SAMPLE)))
    samples.take()
    assert samples.newest.num_rows == 30  # an answer sample's behaviour is not complete
    samples.take()
    assert samples.newest.num_rows == 30


def test_answers_that_were_learnt_only_fill_up_what_others_leave_open(log, spec, random_samples):
    def append(requests: int, seed: int) -> None:
        rows = random_samples(requests, seed=seed, answer_share=0.2)
        log.append(SAMPLES, 0, sealed(kind(rows, ANSWER_SAMPLE)))

    append(300, seed=1)
    samples = GateSamples(log, spec, ends(log), least_answers=60, most_requests=1000)
    samples.take()
    assert samples.learnt_share == 1
    append(10, seed=2)
    samples.take()
    fresh = given(samples.fresh)
    assert 0 < fresh < 60 <= given(samples.answers)
    assert samples.learnt_share == 1 - fresh / given(samples.answers)
    append(300, seed=3)
    samples.take()
    assert samples.learnt_share == 0
    assert 60 <= given(samples.answers) < 70


def test_marks_of_empty_windows_and_samples_of_other_features_are_left_out(
    log, spec, random_samples
):
    samples = GateSamples(log, spec, ends(log), least_answers=5, most_requests=1000)
    log.append(SAMPLES, 0, sealed(random_samples(1), window_rows=0))
    log.append(SAMPLES, 0, sealed(random_samples(5)).drop_columns(["item.tag"]))
    log.append(SAMPLES, 0, sealed(random_samples(7)))
    samples.take()
    assert samples.newest.num_rows == 7


def test_no_more_than_the_newest_are_kept_and_what_was_trimmed_is_passed_over(
    log, spec, random_samples
):
    samples = GateSamples(log, spec, ends(log), least_answers=5, most_requests=50)
    log.append(SAMPLES, 0, sealed(random_samples(30, seed=5)))
    log.append(SAMPLES, 0, sealed(random_samples(40, seed=6)))
    log.trim(SAMPLES, 0, before=30)
    samples.take()
    assert samples.newest.num_rows == 40
    log.append(SAMPLES, 0, sealed(random_samples(40, seed=7)))
    samples.take()
    assert samples.newest.num_rows == 50
