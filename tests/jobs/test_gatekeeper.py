"""Candidates are judged and rolled out on a real log and a real registry, crashes included."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
import torch
import typer

from easq.announcements import Rollout
from easq.artefact import VersionFile, save_version
from easq.events import EVENT, IMPRESSION
from easq.features import FeatureSpec
from easq.gate import GateConfig
from easq.impression import logged_schema
from easq.log.interface import EVENTS, MODELS, SAMPLES
from easq.log.ipc import to_bytes
from easq.log.sqlite import SqliteLog
from easq.model.build import build_ranker
from easq.model.config import ModelConfig
from easq.model.embedding import EmbeddingTables
from easq.registry import ANCHOR, CANDIDATE, CHAMPION, Version, aliased, champion, publish
from easq.registry_aliases import point, tag, tags_of
from easq.rollout import RolloutConfig, lane_stopped, rolled_back
from easq.rollout_log import announce, newest_rollout
from easq.samples import SEALED
from easq.train.position import Position
from jobs.gate import gate, keep, read_config, rollback
from jobs.gatekeeper import (
    AFTER,
    AGAINST,
    REASON,
    ROLLED_OUT,
    VERDICT,
    Gatekeeper,
    GatekeeperConfig,
)

NAME = "easq-ranker"
MODEL = ModelConfig(width=16, heads=2)
GATE = GateConfig(min_requests=200, max_requests=400, min_answers=20)
SHORT = RolloutConfig(waves=(1,), bake_seconds=0, bake_requests=3)


class Place(NamedTuple):
    """A log and a registry, with versions to publish and traffic to send."""

    log: SqliteLog
    uri: str
    folder: Path
    spec: FeatureSpec
    samples: Callable[..., pa.Table]

    @property
    def log_uri(self) -> str:
        return f"sqlite:///{self.log.path}"

    def keeper(self, rollout: RolloutConfig = SHORT) -> Gatekeeper:
        config = GatekeeperConfig(gate=GATE, rollout=rollout)
        return Gatekeeper(self.log, self.uri, NAME, self.folder / "cache", config)

    def publish(self, change: Callable[[dict[str, torch.Tensor]], None]) -> Version:
        """A candidate: the first weights of a seed, changed a little or a lot."""
        cpu = torch.device("cpu")
        ranker = build_ranker(self.spec, MODEL, 0, cpu, torch.float32)
        tables = EmbeddingTables.initial(self.spec, 0, cpu, torch.float32)
        weights = {f"ranker.{n}": t for n, t in ranker.state_dict().items()}
        weights |= {f"rows.{width}": t for width, t in tables.weight.items()}
        change(weights)
        position = Position(schema_hash=self.spec.schema_hash)
        file = VersionFile(features=self.spec, model=MODEL, position=position)
        folder = self.folder / f"version-{torch.rand(1).item()}"
        folder.mkdir()
        save_version(folder, weights, file, self.samples(2))
        return publish(self.uri, NAME, folder, alias=CANDIDATE)

    def seal(self, requests: int, seed: int) -> None:
        """A window of new samples."""
        table = self.samples(requests, seed=seed, answer_share=0.2)
        sealed: dict[str, Any] = {f.name: [0] * requests for f in SEALED}
        sealed |= {"window_rows": [requests] * requests, "event_ids": [[]] * requests}
        sealed |= {"propensity": [[]] * requests}
        beside = pa.table(sealed, schema=SEALED)
        for name in SEALED.names:
            table = table.append_column(SEALED.field(name), beside.column(name))
        self.log.append(SAMPLES, 0, table, durable=False)

    def show(
        self, version: Version, requests: int, score: float = 0.1, line: str | None = NAME
    ) -> None:
        """Impressions that a replica with this version ranked; `line` None: of an older release."""
        base = self.samples(1).to_pylist()[0]
        items = len(base["item_id"])
        decided = {name: [0.0] * items for name in ("duration_seconds", "propensity")}
        row = base | decided | {"score": [score, -score] * items, "asked": [False] * items}
        row |= {"score": row["score"][:items], "model_version": version.version, "model_seq": -1}
        row["model_name"] = line or ""
        impression = pa.Table.from_pylist([row], schema=logged_schema(self.spec))
        if line is None:
            impression = impression.drop_columns("model_name")
        event = dict.fromkeys(EVENT.names) | {"kind": IMPRESSION, "event_id": "r", "user_id": 1}
        event |= {"received_at_ms": 1, "impression": to_bytes(impression)}
        self.log.append(EVENTS, 0, pa.Table.from_pylist([event] * requests, schema=EVENT))


@pytest.fixture
def place(tmp_path: Path, mlflow_uri: str, spec, random_samples) -> Place:
    log = SqliteLog(tmp_path / "log.db")
    return Place(log, mlflow_uri, tmp_path, spec, random_samples)


def same(weights: dict[str, torch.Tensor]) -> None:
    pass


def a_little(weights: dict[str, torch.Tensor]) -> None:
    weights["ranker.main.router.weight"] *= 1.001


def exploded(weights: dict[str, torch.Tensor]) -> None:
    weights["rows.64"][-1] *= 1e4


@pytest.fixture
def first(place: Place) -> Version:
    """The champion, gated as the first version."""
    published = place.publish(same)
    keeper = place.keeper()
    keeper.look()
    keeper.look()
    return published


def test_the_first_version_is_champion_and_anchor_at_once(place, first):
    assert champion(place.uri, NAME) == aliased(place.uri, NAME, ANCHOR) == first
    told = newest_rollout(place.log)
    assert told is not None
    assert (told.version, told.ranks_below, told.follow_deltas) == (1, None, True)
    assert tags_of(place.uri, first)[VERDICT] == "passed"


def test_a_good_version_waits_for_samples_bakes_on_the_canary_and_becomes_champion(place, first):
    place.seal(300, seed=1)  # before the candidate came: it may have learnt them
    second, keeper = place.publish(a_little), place.keeper()
    for _ in range(3):
        keeper.look()
    assert VERDICT not in tags_of(place.uri, second)
    place.seal(250, seed=2)
    keeper.look()
    tags = tags_of(place.uri, second)
    assert tags[VERDICT] == "passed", tags
    assert "against the anchor" in tags[REASON]
    assert abs(float(tags["easq.gate.behaviour.anchor"])) < 0.01
    assert newest_rollout(place.log) == Rollout(
        version=2, previous=1, ranks_below=1, reason=tags[REASON]
    )
    keeper.look()
    assert champion(place.uri, NAME) == first
    place.show(second, 3)
    keeper.look()
    assert champion(place.uri, NAME) == second
    assert aliased(place.uri, NAME, ANCHOR) == first
    assert newest_rollout(place.log).ranks_below is None
    assert tags_of(place.uri, second)[ROLLED_OUT] == "done"


def test_exploded_weights_are_blocked_without_waiting(place, first, caplog):
    bad, keeper = place.publish(exploded), place.keeper()
    for _ in range(3):
        keeper.look()
    tags = tags_of(place.uri, bad)
    assert tags[VERDICT] == "blocked"
    assert "the norm of the longest row of rows.64" in tags[REASON]
    assert f"version 2: blocked: {tags[REASON]}" in caplog.text
    assert champion(place.uri, NAME) == first


def blocked(place: Place, rollout: RolloutConfig = SHORT) -> Version:
    """A version that the gate has seen and said no to."""
    version, keeper = place.publish(exploded), place.keeper(rollout)
    for _ in range(2):
        keeper.look()
    assert tags_of(place.uri, version)[VERDICT] == "blocked"
    return version


def test_a_block_takes_all_replicas_to_the_champion_as_published_and_says_why(place, first):
    bad = blocked(place)
    told = newest_rollout(place.log)
    assert (told.version, told.previous, told.ranks_below) == (1, 2, None)
    assert not told.follow_deltas
    assert told.reason == f"version 2 is blocked: {tags_of(place.uri, bad)[REASON]}"
    assert tags_of(place.uri, bad)[ROLLED_OUT] == "blocked"
    assert champion(place.uri, NAME) == first


def test_after_a_block_the_lane_goes_on_with_the_next_version_that_passes_wave_by_wave(
    place, first
):
    blocked(place)
    reason = newest_rollout(place.log).reason
    third, keeper = judged_and_on_the_canary(place)
    told = newest_rollout(place.log)
    assert (told.version, told.previous, told.stopped) == (3, 1, reason)
    assert lane_stopped(told) == reason, "for replicas that wait for their wave"
    place.show(third, 3)
    keeper.look()
    assert champion(place.uri, NAME) == third
    assert lane_stopped(newest_rollout(place.log)) is None


def test_a_second_block_leaves_the_lane_where_the_first_has_stopped_it(place, first):
    blocked(place)
    end = place.log.end(MODELS, 0)
    assert tags_of(place.uri, blocked(place))[ROLLED_OUT] == "blocked"
    assert place.log.end(MODELS, 0) == end


def test_a_gate_that_was_killed_after_its_verdict_stops_the_lane_once(place, first):
    bad = place.publish(exploded)
    tag(place.uri, bad, {REASON: "it is bad", VERDICT: "blocked"})
    place.keeper().look()
    assert newest_rollout(place.log) == rolled_back(2, 1, "version 2 is blocked: it is bad")
    assert tags_of(place.uri, bad)[ROLLED_OUT] == "blocked"


def test_a_gate_that_was_killed_after_it_stopped_the_lane_does_not_tell_again(place, first):
    bad = place.publish(exploded)
    tag(place.uri, bad, {REASON: "it is bad", VERDICT: "blocked"})
    announce(place.log, rolled_back(2, 1, "version 2 is blocked: it is bad"), 0)
    end = place.log.end(MODELS, 0)
    place.keeper().look()
    assert tags_of(place.uri, bad)[ROLLED_OUT] == "blocked"
    assert place.log.end(MODELS, 0) == end


def test_a_block_leaves_a_rollback_by_hand_in_force(place, first):
    rollback(place.log_uri, place.uri, NAME, to=1, reason="it smells")
    told = newest_rollout(place.log)
    blocked(place)
    assert newest_rollout(place.log) == told


def test_a_block_takes_back_the_canary_of_a_rollout_that_nobody_goes_on_with(place, first):
    judged_and_on_the_canary(place)
    blocked(place)
    told = newest_rollout(place.log)
    assert (told.version, told.previous, told.ranks_below) == (1, 3, None)
    assert not told.follow_deltas


def test_the_lane_goes_on_over_a_block_where_that_is_asked_for(place, first):
    told = newest_rollout(place.log)
    bad = blocked(place, SHORT.model_copy(update={"stop_when_blocked": False}))
    assert newest_rollout(place.log) == told
    assert tags_of(place.uri, bad)[ROLLED_OUT] == "blocked"


def test_a_blocked_first_version_stops_nothing_for_nothing_is_served(place):
    bad, keeper = place.publish(exploded), place.keeper()
    tag(place.uri, bad, {REASON: "it is bad", VERDICT: "blocked"})
    keeper.look()
    assert tags_of(place.uri, bad)[ROLLED_OUT] == "blocked"
    assert newest_rollout(place.log) is None
    good = place.publish(same)
    for _ in range(2):
        keeper.look()
    assert champion(place.uri, NAME) == good


def judged_and_on_the_canary(place: Place, rollout: RolloutConfig = SHORT):
    version, keeper = place.publish(a_little), place.keeper(rollout)
    keeper.look()
    place.seal(250, seed=3)
    keeper.look()
    assert newest_rollout(place.log).ranks_below == 1
    return version, keeper


def test_a_gate_that_was_killed_goes_on_with_the_rollout(place, first):
    second, _ = judged_and_on_the_canary(place)
    keeper = place.keeper()
    keeper.look()
    place.show(second, 3)
    keeper.look()
    assert champion(place.uri, NAME) == second
    keeper.look()
    assert newest_rollout(place.log).version == 2


def test_a_gate_that_was_killed_after_the_alias_moved_tells_all_replicas(place, first):
    second, _ = judged_and_on_the_canary(place)
    point(place.uri, second, CHAMPION)
    place.keeper().look()
    told = newest_rollout(place.log)
    assert (told.version, told.ranks_below) == (2, None)
    assert tags_of(place.uri, second)[ROLLED_OUT] == "done"


def test_a_gate_that_was_killed_while_it_waited_counts_from_the_same_sample(place, first):
    second, keeper = place.publish(a_little), place.keeper()
    keeper.look()
    place.seal(150, seed=4)
    again = place.keeper()
    place.seal(100, seed=5)
    again.look()
    again.look()
    assert tags_of(place.uri, second)[AFTER] == '{"0": 0}'
    assert tags_of(place.uri, second)[VERDICT] == "passed"


def test_a_breach_on_the_canary_puts_the_old_version_back_and_is_not_tried_again(place, first):
    second, keeper = judged_and_on_the_canary(place)
    place.show(first, 1)
    place.show(second, 1, score=float("nan"))
    keeper.look()
    told = newest_rollout(place.log)
    assert (told.version, told.previous, told.follow_deltas) == (1, 2, False)
    assert "not finite" in told.reason
    place.keeper().look()
    assert newest_rollout(place.log) == told
    assert champion(place.uri, NAME) == first


def test_rankings_of_another_line_with_the_same_version_number_do_not_count(place, first):
    second, keeper = judged_and_on_the_canary(place)
    place.show(second, 3, score=float("nan"), line="emer")
    keeper.look()
    assert newest_rollout(place.log).ranks_below == 1, "nothing of the canary was seen yet"
    place.show(second, 3)
    keeper.look()
    assert champion(place.uri, NAME) == second


def test_rankings_of_a_replica_that_names_no_line_count(place, first):
    second, keeper = judged_and_on_the_canary(place)
    place.show(second, 3, line=None)
    keeper.look()
    assert champion(place.uri, NAME) == second


def test_a_rollback_by_hand_ends_the_rollout_under_way(place, first):
    second, keeper = judged_and_on_the_canary(place)
    rollback(place.log_uri, place.uri, NAME, to=1, reason="it smells")
    keeper.look()
    assert "it smells" in tags_of(place.uri, second)[ROLLED_OUT]
    place.show(second, 3)
    keeper.look()
    assert champion(place.uri, NAME) == first


@pytest.mark.parametrize("moment", ["before the alias moves", "after it has moved"])
def test_a_rollback_by_hand_while_the_alias_moves_is_not_undone(place, first, monkeypatch, moment):
    second, keeper = judged_and_on_the_canary(place)
    place.show(second, 3)

    def overtaken(uri: str, version: Version, alias: str) -> None:
        monkeypatch.undo()
        if moment == "after it has moved":
            point(uri, version, alias)
        rollback(place.log_uri, place.uri, NAME, to=1, reason="it smells")
        if moment == "before the alias moves":
            point(uri, version, alias)

    monkeypatch.setattr("jobs.gatekeeper.point", overtaken)
    keeper.look()
    told = newest_rollout(place.log)
    assert champion(place.uri, NAME) == first
    for _ in range(2):
        keeper.look()
    place.keeper().look()
    assert newest_rollout(place.log) == told
    assert (told.version, told.previous, told.follow_deltas) == (1, 2, False)
    assert champion(place.uri, NAME) == first
    assert "it smells" in tags_of(place.uri, second)[ROLLED_OUT]


def test_a_verdict_against_what_was_taken_back_meanwhile_says_nothing(place, first, monkeypatch):
    second, keeper = place.publish(a_little), place.keeper()
    keeper.look()
    place.seal(250, seed=3)
    judged = keeper.judgement.look

    def overtaken(*served: Version | None) -> Any:
        rollback(place.log_uri, place.uri, NAME, to=1, reason="it smells")
        monkeypatch.undo()
        return judged(*served)

    monkeypatch.setattr(keeper.judgement, "look", overtaken)
    keeper.look()
    assert VERDICT not in tags_of(place.uri, second)
    assert newest_rollout(place.log).reason == "rollback: it smells"
    place.seal(250, seed=4)
    keeper.look()
    assert tags_of(place.uri, second)[AGAINST] == "1"
    assert newest_rollout(place.log).version == 2


def test_a_verdict_against_another_champion_is_not_followed_after_a_restart(place, first):
    second, _ = judged_and_on_the_canary(place)
    tag(place.uri, second, {AGAINST: "7"})
    keeper = place.keeper()
    keeper.look()
    assert keeper.judgement is not None


def test_after_a_block_a_rollback_goes_to_what_was_before_the_champion(place, first):
    second, keeper = judged_and_on_the_canary(place)
    place.show(second, 3)
    keeper.look()
    assert champion(place.uri, NAME) == second
    blocked(place)
    rollback(place.log_uri, place.uri, NAME, to=None, reason="by hand")
    assert champion(place.uri, NAME) == first
    assert newest_rollout(place.log).version == 1


def test_a_champion_that_a_hand_has_chosen_is_left_and_the_lane_stays_stopped(place, first):
    blocked(place)
    chosen = place.publish(a_little)
    point(place.uri, chosen, CHAMPION)
    place.keeper().look()
    assert champion(place.uri, NAME) == chosen


def test_a_gate_that_was_killed_while_a_rollback_came_in_between_gives_the_alias_back(place, first):
    second, _ = judged_and_on_the_canary(place)
    rollback(place.log_uri, place.uri, NAME, to=1, reason="it smells")
    told = newest_rollout(place.log)
    point(place.uri, second, CHAMPION)
    keeper = place.keeper()
    for _ in range(2):
        keeper.look()
    assert champion(place.uri, NAME) == first
    assert newest_rollout(place.log) == told
    assert "it smells" in tags_of(place.uri, second)[ROLLED_OUT]


def test_a_rollback_serves_what_was_served_before_with_record_and_alias(place, first):
    second, keeper = judged_and_on_the_canary(place)
    place.show(second, 3)
    keeper.look()
    rollback(place.log_uri, place.uri, NAME, to=None, reason="by hand")
    told = newest_rollout(place.log)
    assert (told.version, told.previous, told.ranks_below) == (1, 2, None)
    assert not told.follow_deltas
    assert champion(place.uri, NAME) == first
    with pytest.raises(ValueError, match="name it with --to"):
        rollback(place.log_uri, place.uri, NAME, to=None, reason="again")
    with pytest.raises(ValueError, match="has no version 9"):
        rollback(place.log_uri, place.uri, NAME, to=9, reason="a slip")


def test_without_mlflow_a_rollback_still_reaches_the_replicas(place, tmp_path):
    away = f"sqlite:///{tmp_path}"  # a folder is no database
    with pytest.raises(typer.Exit):
        rollback(place.log_uri, away, NAME, to=4, reason="by hand")
    assert newest_rollout(place.log).version == 4


def test_another_anchor_is_pinned_by_hand(place, first):
    second, _ = judged_and_on_the_canary(place)
    gate(place.log_uri, place.uri, NAME, place.folder, None, pin=2)
    assert aliased(place.uri, NAME, ANCHOR) == second


def test_an_unknown_setting_is_a_sentence(tmp_path):
    path = tmp_path / "gate.toml"
    path.write_text("[gate]\nmin_answer = 5\n")
    with pytest.raises(ValueError, match="min_answer"):
        read_config(path)
    path.write_text("[gate]\nmin_answers = 50\n[rollout]\nwaves = [1, 3]\n")
    assert read_config(path).rollout.waves == (1, 3)


def test_the_job_waits_for_what_is_away_and_goes_on(place, monkeypatch, caplog):
    monkeypatch.setattr("jobs.gate.POLL_SECONDS", 0.02)
    keeper, stopping = place.keeper(), threading.Event()
    database = Path(place.uri.removeprefix("sqlite:///"))
    aside = database.rename(database.with_suffix(".aside"))
    database.mkdir()
    thread = threading.Thread(target=keep, args=(keeper, stopping))
    thread.start()
    wait_until(lambda: "until this is over" in caplog.text)
    database.rmdir()
    aside.rename(database)
    published = place.publish(same)
    wait_until(lambda: champion(place.uri, NAME) == published)
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()
    assert caplog.text.count("until this is over") == 1


def wait_until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)
