"""A damaged checkpoint is put aside; from the one before, a run learns as if it had not been."""

import errno
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file

from easq.delta import read_head
from easq.delta_chain import Chain, Lineage
from easq.history import History
from easq.log.interface import MODELS, Log
from easq.log.sqlite import SqliteLog
from easq.manifest import MANIFEST, DamagedError, read_manifest, write_manifest
from easq.state_digest import ServedWeights, StateDigest
from easq.train.checkpoint import weights_of
from easq.train.checkpoints import DAMAGED, checkpoint_path, kept_windows
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner
from easq.train.lines import Lines
from easq.train.position import (
    ForeignCheckpointError,
    check_checkpoint,
    needed_from,
    newest_checkpoint,
    read_position,
)
from easq.train.resume import NoCheckpointError
from easq.train.run_folder import WINDOWS, claim, run_folder
from easq.train.share import unpack
from easq.train.tail import read_pass, stretch_of
from easq.train.trainer import fit
from easq.train.work import Work
from easq.versions import version_from_checkpoint

DYING = Path(__file__).with_name("dying_checkpoints.py")
FILES = ("weights.safetensors", "optimisers.safetensors", "memory.arrow", "state.json", MANIFEST)
BEFORE, NEWEST = 4, 6
"""`next_window` of the last two checkpoints after four windows of the log; two of a history."""
ALL = 8


class Run(NamedTuple):
    config: TrainConfig
    folder: Path
    log: Log

    def learn(self) -> Work:
        """What a start learns until it has learnt all that the log has."""
        history = History.open(self.config.data.history).description
        work = Work(claim(self.config, history), torch.device("cpu"), lambda _: None)
        assert self.config.stream is not None
        stretch = stretch_of(self.config, self.config.stream)
        arriving = (unpack(row) for row in read_pass(stretch, 0, 1))
        work.learn_pass(takewhile(lambda share: share is not None, arriving))
        work.checkpoint()
        return work

    def checkpoint(self, window: int, *kind: str) -> Path:
        return checkpoint_path(self.folder, window, *kind)


@pytest.fixture(scope="module")
def learnt(history_at, append_windows, tmp_path_factory) -> Path:
    """A folder with a history and a run that has learnt NEWEST windows."""
    root = tmp_path_factory.mktemp("learnt")
    history_at(root / "history", 40, answer_share=0.3)
    run = run_in(root)
    append_windows(run.log, 0, NEWEST - 2)
    run.learn()
    assert kept_windows(run.folder) == [2, BEFORE, NEWEST]
    return root


def run_in(root: Path) -> Run:
    tree = {
        "run": {"name": "run", "storage": str(root)},
        "data": {"history": str(root / "history"), "window": 20},
        "model": {"width": 16, "heads": 2},
        "published": {"average_steps": 8},
        "stream": {"log": f"sqlite:///{root / 'log.db'}", "checkpoint_windows": 2},
    }
    config = parse_config(tree, "test")
    return Run(config, run_folder(config), SqliteLog(root / "log.db"))


@pytest.fixture
def copy(learnt: Path, tmp_path: Path) -> Callable[[str], Run]:
    """copy(name) -> the same run in a place of its own."""

    def make(name: str = "run") -> Run:
        shutil.copytree(learnt, tmp_path / name)
        state = tmp_path / name / "run" / "run.json"
        state.write_text(state.read_text().replace(str(learnt), str(tmp_path / name)))
        return run_in(tmp_path / name)

    return make


def flip(path: Path, at: int, bit: int = 0) -> None:
    contents = bytearray(path.read_bytes())
    contents[at] ^= 1 << bit
    path.write_bytes(contents)


def cut(path: Path, most: float) -> None:
    contents = path.read_bytes()
    path.write_bytes(contents[: min(int(most * len(contents)), len(contents) - 1)])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one byte flipped": lambda path: flip(path, path.stat().st_size // 2),
    "a byte short": lambda path: cut(path, 1),
    "half of it": lambda path: cut(path, 0.5),
    "empty": lambda path: cut(path, 0),
    "not there": Path.unlink,
}


def test_what_the_disk_cannot_read_is_damaged(learnt, monkeypatch):
    def fails(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    checkpoint = run_in(learnt).checkpoint(NEWEST)
    monkeypatch.setattr("easq.manifest.sha256_of", fails)
    with pytest.raises(DamagedError, match="cannot be read from its disk"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize("name", FILES)
def test_any_damage_of_any_file_is_seen(name, learnt, tmp_path):
    path = shutil.copytree(run_in(learnt).checkpoint(NEWEST), tmp_path / "checkpoint") / name
    check_checkpoint(path.parent)
    sound = path.read_bytes()
    for damage in DAMAGES.values():
        damage(path)
        with pytest.raises(DamagedError):
            check_checkpoint(path.parent)
        path.write_bytes(sound)
    dice = random.Random(name)
    for _ in range(20):
        flip(path, dice.randrange(len(sound)), dice.randrange(8))
        with pytest.raises(DamagedError):
            check_checkpoint(path.parent)
        path.write_bytes(sound)
    check_checkpoint(path.parent)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("weights.safetensors", "one byte flipped"),
        ("state.json", "half of it"),
    ],
)
def test_from_the_one_before_a_run_learns_what_one_without_the_damaged_learns(
    name, damage, copy, append_windows, caplog
):
    hurt, without = copy("hurt"), copy("without")
    DAMAGES[damage](hurt.checkpoint(NEWEST) / name)
    shutil.rmtree(without.checkpoint(NEWEST))
    for run in (hurt, without):
        append_windows(run.log, NEWEST - 2, ALL - NEWEST)
    with_it, never = hurt.learn(), without.learn()
    (said,) = {r.getMessage() for r in caplog.records if "put aside" in r.getMessage()}
    assert str(hurt.checkpoint(NEWEST)) in said
    assert name in said
    assert same(with_it.learner, never.learner)
    for window in (NEWEST, ALL):
        files = [hurt.checkpoint(window) / name for name in FILES]
        assert [path.read_bytes() for path in files] == [
            (without.checkpoint(window) / path.name).read_bytes() for path in files
        ]
    assert hurt.checkpoint(NEWEST, DAMAGED).is_dir()
    assert [line["window"] for line in Lines(hurt.folder / WINDOWS).new()] == list(range(ALL))
    assert read_position(hurt.checkpoint(ALL)).offsets == {0: hurt.log.end("samples", 0)}


def same(one: Learner, other: Learner) -> bool:
    pairs = zip(weights_of(one.state).items(), weights_of(other.state).items(), strict=True)
    return all(name == known and torch.equal(a, b) for (name, a), (known, b) in pairs)


def test_a_replica_with_the_version_of_the_damaged_one_follows_the_run(copy, append_windows):
    run = copy()
    position = read_position(run.checkpoint(NEWEST))
    written = load_file(run.checkpoint(NEWEST) / "weights.safetensors")
    weights = ServedWeights.of({name: tensor.clone() for name, tensor in written.items()})
    flip(run.checkpoint(NEWEST) / "weights.safetensors", -1)
    append_windows(run.log, NEWEST - 2, ALL - NEWEST)
    work = run.learn()
    chain, lineage = Chain(weights, StateDigest(weights), NEWEST, position.schema_hash), Lineage()
    rows = run.log.read(MODELS, 0, 0)
    assert rows is not None
    deltas = list(zip(rows.offsets.tolist(), rows.table.to_pylist(), strict=True))
    for _, row in deltas:
        lineage.note(read_head(row["body"]))
    for seq, row in deltas:
        if step := chain.step(seq, read_head(row["body"]), row["payload"], lineage):
            chain.take(step)
    served = ServedWeights.of(weights_of(work.published.of(work.learner).state))
    assert chain.place.window == ALL
    assert chain.place.digest == StateDigest(served).digest


def test_samples_are_kept_for_the_one_before(copy):
    run = copy()
    flip(run.checkpoint(NEWEST) / "weights.safetensors", -1)
    behind = read_position(run.checkpoint(BEFORE)).offsets[0]
    assert needed_from(run.folder, 0) <= behind < run.log.end("samples", 0)


def test_where_all_are_damaged_the_run_is_not_begun_anew(copy):
    run = copy()
    for window in kept_windows(run.folder):
        flip(run.checkpoint(window) / "weights.safetensors", -1)
    for start in (run.learn, lambda: fit(run.config)):
        with pytest.raises(NoCheckpointError, match=r"choose a new run\.name") as raised:
            start()
        assert str(raised.value).count("weights.safetensors is missing or damaged") == 3
    flip(run.checkpoint(BEFORE, DAMAGED) / "weights.safetensors", -1)
    run.checkpoint(BEFORE, DAMAGED).rename(run.checkpoint(BEFORE))
    assert run.learn().learner.next_window == NEWEST


def test_positions_that_are_all_damaged_are_refused_before_anything_starts(copy):
    run = copy()
    for window in kept_windows(run.folder):
        cut(run.checkpoint(window) / "state.json", 0.5)
    claimed = (run.folder / "run.json").read_bytes()
    with pytest.raises(NoCheckpointError, match=r"state.json is missing or damaged"):
        fit(run.config)
    assert (run.folder / "run.json").read_bytes() == claimed


def rewrite(checkpoint: Path, **changes: object) -> None:
    """As other code would have written it."""
    path = checkpoint / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    write_manifest(checkpoint, read_manifest(checkpoint))


def test_a_checkpoint_of_a_later_format_is_neither_skipped_nor_read(copy):
    run = copy()
    rewrite(run.checkpoint(NEWEST), format=3, something="new")
    for read in (lambda: newest_checkpoint(run.folder), run.learn, lambda: fit(run.config)):
        with pytest.raises(ForeignCheckpointError, match="has format 3; this code reads 1 and 2"):
            read()
    assert run.checkpoint(NEWEST).is_dir()


def test_a_checkpoint_of_other_features_is_refused(copy):
    run = copy()
    rewrite(run.checkpoint(NEWEST), schema_hash="other")
    for start in (run.learn, lambda: fit(run.config)):
        with pytest.raises(ForeignCheckpointError, match="was learnt with features other; this"):
            start()


@pytest.mark.parametrize("name", ["weights.safetensors", "optimisers.safetensors"])
@pytest.mark.parametrize("change", ["another size", "not there"])
def test_of_a_checkpoint_of_another_model_nothing_is_loaded(name, change, copy):
    run = copy()
    directory = run.checkpoint(NEWEST)
    tensors = load_file(directory / name)
    key = next(key for key in tensors if key in ("rows.64", "rows.mean.64"))
    tensors |= {key: tensors[key][:1]}
    if change == "not there":
        del tensors[key]
    save_file(tensors, directory / name)
    write_manifest(directory, read_manifest(directory))
    spec = History.open(run.config.data.history).description.features
    fresh, learner = (Learner(run.config, spec, torch.device("cpu")) for _ in range(2))
    with pytest.raises(ForeignCheckpointError, match=rf"another model: 1 tensors differ, {key} "):
        learner.restore(directory)
    assert same(learner, fresh)


def test_one_from_before_there_were_manifests_is_read_as_it_is(copy, caplog):
    run = copy()
    rewrite(run.checkpoint(NEWEST), format=1)
    (run.checkpoint(NEWEST) / MANIFEST).unlink()
    assert run.learn().learner.next_window == NEWEST
    assert "older than manifests" in caplog.text


def test_of_a_damaged_checkpoint_no_version_is_made(copy, tmp_path):
    run = copy()
    history = History.open(run.config.data.history)
    flip(run.checkpoint(NEWEST) / "weights.safetensors", -1)
    with pytest.raises(DamagedError, match=r"weights.safetensors is missing or damaged"):
        version_from_checkpoint(run.checkpoint(NEWEST), run.config, history, tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_what_was_put_aside_goes_with_the_checkpoints_of_its_age(copy, append_windows):
    run = copy()
    flip(run.checkpoint(NEWEST) / "optimisers.safetensors", -1)
    append_windows(run.log, NEWEST - 2, 4)
    run.learn()
    assert kept_windows(run.folder, DAMAGED) == [NEWEST]
    append_windows(run.log, NEWEST + 2, 2)
    run.learn()
    assert kept_windows(run.folder) == [8, 10, 12]
    assert kept_windows(run.folder, DAMAGED) == []


def test_a_run_killed_between_any_two_steps_of_a_checkpoint_goes_on(make_history, tmp_path):
    history = make_history(24 * 3, answer_share=0.3)
    command = [sys.executable, str(DYING), str(history.root), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)
    assert len(found) > 50
    assert found == sorted(found), "once it is complete, it stays"
    assert set(found) == {2, 3}
    assert kept_windows(tmp_path / "run", DAMAGED) == []
