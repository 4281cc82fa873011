"""A file of lines that a run adds to for weeks is followed and thinned."""

import json
from pathlib import Path

from easq.train.lines import Lines, last_line, thin
from easq.train.run_folder import append_line


def write(path: Path, windows: range) -> None:
    for window in windows:
        append_line(path, {"window": window, "text": "x" * 50})


def test_a_thinned_file_has_its_newest_lines_and_readers_miss_none(tmp_path):
    path = tmp_path / "windows.jsonl"
    write(path, range(100))
    reader, late = Lines(path), Lines(path, from_start=False)
    assert len(reader.new()) == 100
    assert late.new() == []
    write(path, range(100, 110))
    assert [line["window"] for line in late.new()] == list(range(100, 110))
    before = path.stat().st_size
    thin(path, most_bytes=before)
    assert path.stat().st_size == before, "it is not too large yet"
    write(path, range(110, 112))
    thin(path, most_bytes=before)
    kept = [json.loads(line)["window"] for line in path.read_text().splitlines()]
    assert kept == list(range(kept[0], 112))
    assert 50 < len(kept) < 60
    assert [line["window"] for line in reader.new()] == kept
    write(path, range(112, 113))
    assert [line["window"] for line in reader.new()] == [112]


def test_the_last_line_is_the_last_complete_one(tmp_path):
    path = tmp_path / "windows.jsonl"
    assert last_line(path) is None
    path.write_text('{"window": 1}\n{"window": 2}\n{"wind')
    assert last_line(path) == {"window": 2}
    late = Lines(path, from_start=False)
    with path.open("a") as file:
        file.write('ow": 3}\n')
    assert late.new() == [{"window": 3}]
