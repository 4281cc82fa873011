"""Who may write into a run's folder, and what it says after a crash."""

import json
import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from easq.stream import Windows, unlearnt
from easq.train.config import TrainConfig, parse_config
from easq.train.drain import ask_to_drain
from easq.train.durable import put_folder, replace_file
from easq.train.latest import Latest, read_latest, write_latest
from easq.train.position import newest_checkpoint
from easq.train.run_folder import (
    WINDOWS,
    Start,
    SupersededError,
    append_line,
    awaited_claim,
    check_begun,
    check_claim,
    claim,
    forget_windows_from,
    next_incarnation,
    run_folder,
)
from easq.train.share import unpack
from easq.train.trainer import fit


def config(root: Path, **tables: dict) -> TrainConfig:
    run = {"name": "a", "storage": str(root)}
    return parse_config({"run": run, "data": {"history": "h"}, **tables}, "test")


def test_a_start_waits_for_its_claim_and_another_one_refuses_it(make_history, tmp_path):
    history = make_history(5).description
    first = claim(config(tmp_path), history)
    waiting = Start(config(tmp_path), "second", next_incarnation(config(tmp_path), history))
    with ThreadPoolExecutor() as pool:
        awaited = pool.submit(awaited_claim, waiting)
        assert not wait([awaited], timeout=0.5).done
        check_claim(tmp_path / "a", first)
        second = claim(config(tmp_path), history, "second")
        assert awaited.result(timeout=60) == second
        assert second.incarnation == 2
    assert awaited_claim(waiting) == second
    claim(config(tmp_path), history)
    with pytest.raises(SupersededError, match=r"\(start 3; this is start 2\)"):
        awaited_claim(waiting)


def test_a_start_that_waits_ends_where_the_run_is_drained(make_history, tmp_path):
    claim(config(tmp_path), make_history(5).description)
    ask_to_drain(tmp_path / "a")
    assert awaited_claim(Start(config(tmp_path), "second", 2)) is None


def test_only_the_newest_start_of_a_run_may_write(make_history, tmp_path):
    history = make_history(5).description
    first, second = (claim(config(tmp_path), history) for _ in range(2))
    check_claim(tmp_path / "a", second)
    with pytest.raises(SupersededError, match=r"\(start 2; this is start 1\)"):
        check_claim(tmp_path / "a", first)


def test_of_two_starts_at_once_one_may_write(make_history, tmp_path):
    history = make_history(5).description
    claim(config(tmp_path), history)
    before = (tmp_path / "a" / "run.json").read_bytes()
    first = claim(config(tmp_path), history)
    (tmp_path / "a" / "run.json").write_bytes(before)  # what the second read, at the same moment
    second = claim(config(tmp_path), history)
    assert first.incarnation == second.incarnation == 2
    check_claim(tmp_path / "a", second)
    with pytest.raises(SupersededError, match="another start"):
        check_claim(tmp_path / "a", first)


def test_writers_at_once_leave_the_file_of_one_of_them_and_nothing_else(tmp_path):
    texts = [str(n) * 100_000 for n in range(8)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda text: replace_file(tmp_path / "run.json", text), texts * 4))
    assert (tmp_path / "run.json").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("contents", ["", '{"incarnation": 1', '{"checkpoint": 3}'])
def test_a_file_that_was_cut_short_is_named_in_one_sentence(contents, make_history, tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "run.json").write_text(contents)
    (folder / "latest.json").write_text(contents)
    for name, read in {
        "run.json": lambda: check_begun(config(tmp_path), make_history(5).description),
        "latest.json": lambda: read_latest(folder),
    }.items():
        with pytest.raises(ValueError, match=rf"{name} cannot be read: ") as raised:
            read()
        assert "\n" not in str(raised.value)


def test_a_run_begun_with_other_settings_is_refused_and_named(make_history, tmp_path):
    history = make_history(5).description
    claim(config(tmp_path), history)
    with pytest.raises(ValueError, match=r"optim.batch was 256 and is 128\. Restore"):
        claim(config(tmp_path, optim={"batch": 128}), history)
    with pytest.raises(ValueError, match="the samples were"):
        claim(config(tmp_path), make_history(5, seed=1).description)


def test_a_run_may_be_given_a_log_later_but_not_another_one_or_none(make_history, tmp_path):
    history = make_history(5).description
    claim(config(tmp_path), history)
    claim(config(tmp_path, stream={"log": "sqlite:///a.db"}), history)
    claim(config(tmp_path, stream={"log": "sqlite:///a.db", "pass_windows": 5}), history)
    for tables in ({"stream": {"log": "sqlite:///b.db"}}, {}):
        with pytest.raises(ValueError, match=r"stream.log was sqlite:///.*a.db and is"):
            claim(config(tmp_path, **tables), history)


def test_a_run_may_go_on_with_another_number_of_workers(make_history, tmp_path):
    history = make_history(5).description
    claim(config(tmp_path), history)
    other = config(tmp_path, workers={"num": 2}, checkpoint={"every_windows": 1})
    assert claim(other, history).incarnation == 2


def test_windows_to_be_learnt_again_are_forgotten_with_a_line_cut_short(tmp_path):
    for window in range(4):
        append_line(tmp_path / WINDOWS, {"window": window})
    with (tmp_path / WINDOWS).open("a") as file:
        file.write('{"window": 4, "los')
    forget_windows_from(tmp_path, 2)
    lines = (tmp_path / WINDOWS).read_text().splitlines()
    assert [json.loads(line)["window"] for line in lines] == [0, 1]


def checkpoint(folder: Path, window: int) -> Path:
    path = folder / f"window-{window:06d}"
    path.mkdir(exist_ok=True)
    (path / "state.json").write_text(json.dumps({"next_window": window, "schema_hash": "s"}))
    return path


def test_the_checkpoint_that_learnt_most_is_restored_whatever_latest_says(tmp_path):
    four, eight = checkpoint(tmp_path, 4), checkpoint(tmp_path, 8)
    write_latest(tmp_path, Latest(checkpoint=four.name, window=4, step=0))
    assert newest_checkpoint(tmp_path) == eight


@pytest.mark.parametrize("contents", [b"", b"\0" * 64, b'{"next_window": 8', None])
def test_a_checkpoint_that_a_power_cut_damaged_is_left_out_by_worker_and_stream(
    contents, make_history, tmp_path
):
    four, eight = checkpoint(tmp_path, 4), checkpoint(tmp_path, 8)
    write_latest(tmp_path, Latest(checkpoint=eight.name, window=8, step=0))
    (eight / "state.json").unlink()
    if contents is not None:
        (eight / "state.json").write_bytes(contents)
    assert newest_checkpoint(tmp_path) == four
    history = make_history(60)
    source = unlearnt(Windows(history.root, 10), tmp_path, rank=0, world_size=1)
    (task,) = source.get_read_tasks(1)
    assert [unpack(row).window for row in task()] == [4, 5]


def test_a_run_without_a_checkpoint_starts_from_nothing(tmp_path):
    assert newest_checkpoint(run_folder(config(tmp_path))) is None


def test_all_of_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    building, path = tmp_path / "building", tmp_path / "window-000001"
    building.mkdir()
    for name in ("weights.safetensors", "state.json"):
        (building / name).write_text(name)
    synced, sync = [], os.fsync

    def told(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", told)
    put_folder(building, path)
    before = {place for place, named in synced if not named}
    assert before == {str(building), f"{building}/weights.safetensors", f"{building}/state.json"}
    assert synced[-1] == (str(tmp_path), True)
    assert (path / "state.json").read_text() == "state.json"


def test_damaged_samples_are_refused_before_the_run_is_begun(make_history, tmp_path):
    history = make_history(5)
    path = history.root / history.description.days[0].file
    path.write_bytes(path.read_bytes() + b"0")
    with pytest.raises(ValueError, match=r"part-0.parquet is missing or damaged"):
        fit(config(tmp_path, data={"history": str(history.root)}))
    assert not (tmp_path / "a").exists()
