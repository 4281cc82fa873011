"""A pass over a run's history and its log: where it starts, what it says, where it ends."""

import json
from itertools import takewhile
from pathlib import Path

import pytest
import torch

from easq.history import History
from easq.join_rows import Place, Seal, empty_window
from easq.log.interface import Log, LogAwayError
from easq.log.sqlite import SqliteLog
from easq.manifest import write_manifest
from easq.sealed import SealedReader
from easq.stream import PassSource
from easq.train.checkpoint import weights_of
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner
from easq.train.lines import Lines
from easq.train.position import Position
from easq.train.run_folder import QUARANTINE, claim
from easq.train.share import WindowShare, unpack
from easq.train.tail import Stretch, check_kept, follow, read_pass
from easq.train.work import Work

HISTORY_WINDOWS, PASS = 2, 4


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return SqliteLog(tmp_path / "log.db")


@pytest.fixture
def config(make_history, tmp_path: Path) -> TrainConfig:
    return parse_config(
        {
            "run": {"name": "run", "storage": str(tmp_path)},
            "data": {"history": str(make_history(20 * HISTORY_WINDOWS).root), "window": 20},
            "model": {"width": 32},
            "stream": {
                "log": f"sqlite:///{tmp_path / 'log.db'}",
                "pass_windows": PASS - 1,
                "checkpoint_windows": 2,
            },
        },
        "test",
    )


@pytest.fixture
def stretch(config: TrainConfig, tmp_path: Path) -> Stretch:
    assert config.stream is not None
    return Stretch(config.data.history, 20, config.stream, tmp_path / "run")


def checkpoint(run_folder: Path, position: Position) -> None:
    path = run_folder / f"window-{position.next_window:06d}"
    path.mkdir(parents=True)
    (path / "state.json").write_text(position.model_dump_json())
    write_manifest(path, ["state.json"])


def windows(stretch: Stretch, rank: int = 0, world: int = 1) -> list[WindowShare]:
    """Until the pass ends, or the log has nothing further."""
    arriving = (unpack(row) for row in read_pass(stretch, rank, world))
    return list(takewhile(lambda share: share is not None, arriving))


def test_a_pass_goes_from_the_history_into_the_log_and_ends_at_a_checkpoint(
    stretch, log, append_windows
):
    tables = append_windows(log, 0, PASS + 1, at_ms=1_650_000_000_000)
    shares = windows(stretch)
    assert [s.window for s in shares] == list(range(HISTORY_WINDOWS + PASS))
    assert [s.of_log for s in shares] == [False] * HISTORY_WINDOWS + [True] * PASS
    assert {s.num_windows for s in shares} == {HISTORY_WINDOWS}
    newest = shares[-1]
    assert newest.rows.equals(tables[PASS - 1])
    assert (dict(newest.offsets), newest.sealed_at_ms) == ({0: 80}, 1_650_000_000_000)
    assert newest.day == "2022-04-15"


def test_a_pass_finds_its_start_when_it_runs_not_when_it_is_planned(stretch, log, append_windows):
    append_windows(log, 0, 6)
    plans = [PassSource(stretch, 0, 1).get_read_tasks(1) for _ in range(2)]
    position = Position(next_window=5, history_windows=2, offsets={0: 60}, schema_hash="s")
    checkpoint(stretch.run_folder, position)
    for (task,) in plans:
        share = unpack(next(iter(task())))
        assert share is not None
        assert (share.window, dict(share.offsets)) == (5, {0: 80})


def test_every_rank_gets_its_rows_of_the_same_windows(stretch, log, append_windows):
    (table, *_) = append_windows(log, 0, PASS, requests=7)
    parts = [windows(stretch, rank, 2)[HISTORY_WINDOWS] for rank in range(2)]
    assert [p.window for p in parts] == [2, 2]
    assert [p.num_requests for p in parts] == [7, 7]
    for rank, part in enumerate(parts):
        assert part.rows.equals(table.take(list(range(rank, 7, 2))))


def test_an_idle_log_is_told_and_the_next_window_follows(stretch, log, append_windows):
    arriving = (unpack(row) for row in read_pass(stretch, 0, 1))
    told = [next(arriving) for _ in range(HISTORY_WINDOWS + 2)]
    assert told[HISTORY_WINDOWS:] == [None, None]
    append_windows(log, 0, 1)
    share = next(share for share in arriving if share is not None)
    assert share.window == HISTORY_WINDOWS


def test_a_log_that_is_away_is_asked_again(log, append_windows):
    append_windows(log, 0, 1)

    class Away(SqliteLog):
        answers = False

        def begin(self, *arguments):
            return self._asked(super().begin, *arguments)

        def read(self, *arguments, **named):
            return self._asked(super().read, *arguments, **named)

        def _asked(self, question, *arguments, **named):
            if not self.answers:
                raise LogAwayError("locked")
            return question(*arguments, **named)

    away = Away(log.path)
    found = follow(lambda: SealedReader(away))
    assert next(found) is None  # it cannot even be opened
    away.answers = True
    assert next(window for window in found if window is not None).number == 0
    away.answers = False
    append_windows(log, 1, 1)
    assert next(found) is None
    away.answers = True
    assert next(window for window in found if window is not None).number == 1


def test_rows_that_were_trimmed_before_they_were_learnt_end_the_run_with_a_sentence(
    stretch, log, append_windows
):
    append_windows(log, 0, 5)  # of 20 rows each
    position = Position(next_window=3, history_windows=2, offsets={0: 20}, schema_hash="s")
    checkpoint(stretch.run_folder, position)
    log.trim("samples", 0, 20)
    check_kept(stretch)
    assert windows(stretch)
    log.trim("samples", 0, 60)
    with pytest.raises(ValueError, match=r"40 rows of topic samples .*Begin another run\.name"):
        check_kept(stretch)
    with pytest.raises(ValueError, match="so this run has a gap"):
        windows(stretch)


def test_samples_of_other_features_are_refused_with_a_sentence_and_the_next_window_follows(
    stretch, log, random_samples, seal_window, append_windows
):
    other = random_samples(5).drop_columns(["item.tag"])
    log.append("samples", 0, seal_window(other, 0, 0))
    append_windows(log, 1, 1)
    refused, good = windows(stretch)[HISTORY_WINDOWS:]
    assert "'item.tag'] are missing or of another type. Serve a version" in refused.refused
    assert (refused.num_requests, dict(refused.offsets)) == (5, {0: 5})
    assert refused.rows.select(other.column_names).equals(other)
    assert (good.window, good.refused) == (HISTORY_WINDOWS + 1, "")


def test_a_window_of_other_features_is_left_out_and_the_run_goes_on(
    config, stretch, log, random_samples, seal_window, append_windows
):
    append_windows(log, 0, 1)
    log.append("samples", 0, seal_window(random_samples(5).drop_columns(["item.tag"]), 1, 0))
    append_windows(log, 2, 1)
    history = History.open(config.data.history).description
    work = Work(claim(config, history), torch.device("cpu"), lambda _: None)
    work.learn_pass(iter(windows(stretch)))
    assert work.learner.position.offsets == {0: log.end("samples", 0)}
    assert work.learner.position.requests == 20 * (HISTORY_WINDOWS + 2)
    (line,) = Lines(stretch.run_folder / QUARANTINE).new()
    assert (line["window"], line["requests"]) == (HISTORY_WINDOWS + 1, 5)
    assert "Serve a version of this run" in line["reason"]


def test_empty_windows_of_several_partitions_are_windows_without_requests(
    stretch, tmp_path, random_samples, seal_window
):
    log = SqliteLog(tmp_path / "log.db", partitions=2)
    log.append("samples", 0, seal_window(random_samples(5), 0, 1000))
    for number, at_ms in enumerate((500, 1500)):
        log.append("samples", 1, empty_window(Seal(number, at_ms), Place(0, 0, 0)))
    shares = windows(stretch)[HISTORY_WINDOWS:]
    assert [(s.num_requests, dict(s.offsets)) for s in shares] == [
        (0, {0: 0, 1: 1}),
        (5, {0: 5, 1: 1}),
    ]
    assert shares[0].rows.schema == shares[1].rows.schema


def test_replaying_the_log_in_passes_of_any_length_gives_the_same_weights(
    config, stretch, log, append_windows, tmp_path
):
    append_windows(log, 0, 2 * PASS)
    spec = History.open(config.data.history).description.features
    learnt = []
    for length in (PASS, 2 * PASS):
        folder = tmp_path / f"passes-of-{length}"
        passes = stretch._replace(
            run_folder=folder, stream=stretch.stream.model_copy(update={"pass_windows": length})
        )
        learner = Learner(config, spec, torch.device("cpu"))
        while learner.next_window < HISTORY_WINDOWS + 2 * PASS:
            for share in windows(passes):
                learner.score(share)
                learner.learn(share)
            path = folder / f"window-{learner.next_window:06d}"
            path.mkdir(parents=True)
            learner.save(path)
        assert learner.position.offsets == {0: log.end("samples", 0)}
        assert learner.position.history_windows == HISTORY_WINDOWS
        learnt.append({name: w.clone() for name, w in weights_of(learner.state).items()})
    assert all(torch.equal(learnt[0][name], learnt[1][name]) for name in learnt[0])


def test_checkpoints_from_before_there_was_a_log_are_still_read(stretch):
    path = stretch.run_folder / "window-000001"
    path.mkdir(parents=True)
    (path / "state.json").write_text(json.dumps({"next_window": 1, "schema_hash": "s"}))
    arriving = (unpack(row) for row in read_pass(stretch, 0, 1))
    first, second = next(arriving), next(arriving)
    assert first is not None
    assert (first.window, second) == (1, None)
