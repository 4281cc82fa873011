"""Samples on disk come back as they went, whole or not at all."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easq.history import History, Source
from easq.history_folder import building
from easq.history_write import write_history


def test_windows_cover_every_row_once_and_never_cross_a_day(make_history):
    history = make_history(500)
    windows = history.windows(64)
    rows = [
        request
        for window in windows
        for request in history.read(window).column("request_id").to_pylist()
    ]
    assert rows == [f"r{i:06d}" for i in range(500)]
    assert [w.index for w in windows] == list(range(8))


def test_a_day_is_a_local_day(tmp_path, random_samples, spec):
    east = spec.model_copy(update={"utc_offset_hours": 8.0})
    samples = random_samples(3)
    evening = 16 * 3_600_000  # midnight at UTC+8
    times = samples.schema.get_field_index("request_time_ms")
    samples = samples.set_column(
        times, samples.schema.field(times), [[evening - 1, evening, evening + 1]]
    )
    history = write_history(tmp_path / "h", "x", east, samples, [Source(name="x", rows=3)])
    assert [(d.day, d.requests) for d in history.description.days] == [
        ("1970-01-01", 1),
        ("1970-01-02", 2),
    ]


def test_opening_a_folder_without_samples_says_how_to_make_some(tmp_path):
    with pytest.raises(FileNotFoundError, match="easq import kuairand"):
        History.open(tmp_path)


def test_a_truncated_file_is_named(make_history):
    history = make_history(50)
    path = history.root / history.description.days[0].file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="truncated"):
        history.read(history.windows()[0])
    with pytest.raises(ValueError, match="damaged"):
        history.verify()


def test_a_file_with_fewer_rows_than_described_is_named(make_history):
    history = make_history(50)
    path = history.root / history.description.days[0].file
    pq.write_table(pq.read_table(path).slice(0, 10), path)
    with pytest.raises(ValueError, match="fewer rows"):
        history.read(history.windows(25)[0])
    with pytest.raises(ValueError, match="fewer rows"):
        history.read(history.windows(25)[1])


def test_a_damaged_description_is_named(make_history):
    history = make_history(5)
    (history.root / "dataset.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match="import the data again"):
        History.open(history.root)


def test_writing_replaces_a_history_and_refuses_anything_else(tmp_path, random_samples, spec):
    source = [Source(name="x", rows=3)]
    write_history(tmp_path / "h", "one", spec, random_samples(3), source)
    write_history(tmp_path / "h", "two", spec, random_samples(4), source)
    assert History.open(tmp_path / "h").description.name == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="holds other things"):
        write_history(tmp_path / "home", "x", spec, random_samples(3), source)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_no_sample_at_all_is_an_error_and_leaves_nothing(tmp_path, random_samples, spec):
    with pytest.raises(ValueError, match="no sample"):
        write_history(tmp_path / "h", "x", spec, random_samples(3).slice(0, 0), [])
    assert list(tmp_path.iterdir()) == []


def replaced(samples, name, values):
    index = samples.schema.get_field_index(name)
    column = pa.chunked_array([values], type=samples.schema.field(index).type)
    return samples.set_column(index, samples.schema.field(index), column)


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("upstream.like", lambda v: [float("nan"), *v[1:]], "upstream.like of request 'r000001'"),
        ("exposed", lambda v: v[1:], "exposed of request 'r000001'"),
        ("user.activity", lambda _: float("inf"), "user.activity of request 'r000001'"),
    ],
)
def test_samples_with_a_wrong_value_are_refused_by_name(
    tmp_path, random_samples, spec, name, change, sentence
):
    samples = random_samples(3)
    values = samples.column(name).to_pylist()
    values[1] = change(values[1])
    with pytest.raises(ValueError, match=sentence):
        write_history(tmp_path / "h", "x", spec, replaced(samples, name, values), [])
    assert list(tmp_path.iterdir()) == []


def test_a_request_without_candidates_is_refused(tmp_path, random_samples, spec):
    samples = random_samples(3)
    for name in samples.column_names:
        values = samples.column(name).to_pylist()
        if isinstance(values[1], list):
            samples = replaced(samples, name, [values[0], [], values[2]])
    with pytest.raises(ValueError, match=r"request 'r000001' .* has no candidates"):
        write_history(tmp_path / "h", "x", spec, samples, [])


def test_missing_columns_and_wrong_types_are_named(tmp_path, random_samples, spec):
    samples = random_samples(3)
    with pytest.raises(ValueError, match=r"missing=\['upstream.like'\]"):
        write_history(tmp_path / "h", "x", spec, samples.drop_columns(["upstream.like"]), [])
    index = samples.schema.get_field_index("user_id")
    words = samples.set_column(index, "user_id", [["a", "b", "c"]])
    with pytest.raises(ValueError, match="do not fit the schema"):
        write_history(tmp_path / "h", "x", spec, words, [])


def test_of_two_writers_of_one_history_the_second_is_refused(tmp_path):
    with building(tmp_path / "h") as folder:
        with pytest.raises(ValueError, match="another process holds"), building(tmp_path / "h"):
            pass
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
