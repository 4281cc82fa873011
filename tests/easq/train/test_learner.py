"""The learner: scores before it learns, resumes bit for bit, moves only what has a gradient."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from easq.answer_memory import DAY_MS, AnswerMemory, remembered
from easq.events import Answer
from easq.history import History
from easq.train.checkpoint import weights_of
from easq.train.config import TrainConfig, parse_config
from easq.train.learner import Learner, NotFiniteError
from easq.train.share import WindowShare, share_of

CPU = torch.device("cpu")


def config_of(history: History, **tables) -> TrainConfig:
    tree = {
        "run": {"name": "t", "storage": "t"},
        "data": {"history": str(history.root)},
        "model": {"width": 32},
        "optim": {"batch": 16},
    }
    return parse_config(tree | tables, "test")


def shares(history: History, window: int) -> list[WindowShare]:
    windows = history.windows(window)
    return [share_of(history.read(w), w, len(windows), 0, 1) for w in windows]


def learner_of(history: History, **tables) -> Learner:
    return Learner(config_of(history, **tables), history.description.features, CPU)


def copies(learner: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in weights_of(learner.state).items()}


def poisoned(share: WindowShare, spec) -> WindowShare:
    """The same requests with all outcomes turned round."""
    rows = share.rows
    for name in rows.column_names:
        if name.startswith("behaviour.") or name == "answer":
            column = rows.column(name).combine_chunks()
            values = column.flatten().to_numpy(zero_copy_only=False)
            turned = ~values if values.dtype == bool else (values + 1) % len(Answer)
            flipped = pa.ListArray.from_arrays(
                column.offsets, pa.array(turned, column.type.value_type)
            )
            index = rows.schema.get_field_index(name)
            rows = rows.set_column(index, rows.schema.field(index), flipped.cast(column.type))
    return share._replace(rows=rows)


def test_a_window_is_scored_without_its_own_outcomes(make_history):
    history = make_history(96)
    first, second = shares(history, 48)
    honest, blind = learner_of(history), learner_of(history)
    for learner in (honest, blind):
        learner.learn(first)
    poison = poisoned(second, history.description.features)
    np.testing.assert_array_equal(honest.score(second).main, blind.score(poison).main)
    honest.learn(second)
    blind.learn(poison)  # and only then do outcomes matter
    assert not np.allclose(honest.score(second).main, blind.score(second).main)


HEADS = {"model": {"width": 32, "behaviour_heads": True}, "loss": {"behaviours": 1.0}}


@pytest.mark.parametrize("tables", [{}, HEADS], ids=["easq", "heads"])
def test_a_restored_learner_goes_on_bit_for_bit(make_history, tmp_path, tables):
    history = make_history(128)
    first, second = shares(history, 64)
    whole, stopped, resumed = (learner_of(history, **tables) for _ in range(3))
    for learner in (whole, stopped):
        learner.score(first)
        learner.learn(first)
    stopped.save(tmp_path)
    resumed.restore(tmp_path)
    for learner in (whole, resumed):
        learner.score(second)
        learner.learn(second)
    for name, weight in weights_of(whole.state).items():
        assert torch.equal(weight, weights_of(resumed.state)[name]), name
    assert resumed.collision_share() == whole.collision_share()
    assert resumed.position == whole.position


def test_a_window_out_of_turn_is_refused(make_history):
    history = make_history(40)
    _, second = shares(history, 20)
    with pytest.raises(ValueError, match="window 1 came where window 0 was expected"):
        learner_of(history).learn(second)


def test_without_answers_the_satisfaction_pathway_and_its_moments_stand_still(make_history):
    with_answers, without = make_history(32, seed=1), make_history(32, seed=2, answer_share=0.0)
    learner = learner_of(with_answers)
    learner.learn(shares(with_answers, 32)[0])
    before = copies(learner)
    optimiser = learner.state.satisfaction
    assert optimiser is not None
    steps = {id(p): s["step"].item() for p, s in optimiser.state.items()}
    learner.learn(shares(without, 32)[0]._replace(window=1))
    after = weights_of(learner.state)
    moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert "backbone" in moved
    assert not {"lora", "satisfaction"} & moved
    assert {id(p): s["step"].item() for p, s in optimiser.state.items()} == steps


def test_only_rows_of_the_batch_move_and_all_that_move_are_reported(make_history):
    history = make_history(32)
    learner = learner_of(history)
    before = {width: table.clone() for width, table in learner.state.tables.weight.items()}
    learner.learn(shares(history, 32)[0])
    for width, table in learner.state.tables.weight.items():
        moved = (table != before[width]).any(dim=1)
        assert torch.equal(moved, learner.touched[width])
        assert 0 < int(moved.sum()) < len(table)


def test_the_collision_share_counts_rows_with_two_ids(make_history):
    history = make_history(200)
    learner = learner_of(history)
    for share in shares(history, 50):
        learner.score(share)
        learner.learn(share)
    spec, table = history.description.features, history.read(history.windows()[0])
    from easq.encoding import hash_rows
    from easq.samples import flatten

    columns, ids_of_row = flatten(table).columns, {}
    for feature in spec.categorical:
        values = {**columns.user, **columns.item}.get(feature.column)
        if values is not None:
            for value, row in zip(values, hash_rows(feature, values), strict=True):
                ids_of_row.setdefault((feature.column, row), set()).add(int(value))
    expected = np.mean([len(ids) > 1 for ids in ids_of_row.values()])
    assert expected > 0.05  # 200 items in 1,000 rows do collide
    assert learner.collision_share() == pytest.approx(expected)


def answered(samples: pa.Table, row: int) -> pa.Table:
    return samples.slice(row, 1).combine_chunks()


def test_the_memory_pairs_a_users_different_answers_within_the_window(random_samples):
    samples = random_samples(400, answer_share=0.3)
    asked = [remembered(answered(samples, i)) for i in range(400)]
    satisfied = next(a for a in asked if a.answers == {Answer.SATISFIED})
    dissatisfied = next(a for a in asked if a.answers == {Answer.DISSATISFIED})
    memory = AnswerMemory(per_user=2, days=30)
    memory.insert(1, satisfied)
    later = dissatisfied._replace(time_ms=satisfied.time_ms + 29 * 86_400_000)
    too_late = dissatisfied._replace(time_ms=satisfied.time_ms + 31 * 86_400_000)
    assert memory.partners(1, later) == [satisfied.row]
    assert memory.partners(1, too_late) == []
    assert memory.partners(2, later) == []  # another user
    assert memory.partners(1, satisfied) == []  # the same answer makes no pair


def test_the_memory_keeps_the_last_few_and_comes_back_from_a_table(random_samples):
    samples = random_samples(400, answer_share=1.0)
    rows = np.flatnonzero(samples.column("user_id").to_numpy() == 7)[:5].tolist()
    memory, restored = AnswerMemory(per_user=2, days=30), AnswerMemory(per_user=2, days=30)
    for row in rows:
        memory.insert(7, remembered(answered(samples, row)))
    table = memory.to_table()
    assert table is not None
    restored.load(table)
    assert [a.row.column("request_id")[0].as_py() for a in restored.of_user[7]] == [
        f"r{row:06d}" for row in rows[-2:]
    ]
    assert restored.counts == memory.counts


def test_the_memory_forgets_users_by_the_time_of_answers_alike_after_a_restart(random_samples):
    row = answered(random_samples(40, answer_share=1.0), 0)
    asked, at = remembered(row), row.schema.get_field_index("user_id")
    whole, restored = AnswerMemory(per_user=2, days=30), AnswerMemory(per_user=2, days=30)
    for day, user in enumerate([7, 8, 7, 9, 8, 10, 11]):
        own = row.set_column(at, row.schema.field(at), pa.array([user], row.schema.field(at).type))
        answer = asked._replace(time_ms=asked.time_ms + 11 * day * DAY_MS, row=own)
        whole.insert(user, answer)
        restored.load(whole.to_table())
    assert list(whole.of_user) == [8, 10, 11], "9 answered 33 days ago"
    assert list(restored.of_user) == list(whole.of_user)
    assert restored.newest_ms == whole.newest_ms
    assert restored.counts == whole.counts


def test_a_remembered_answer_does_not_hold_its_window_in_memory(make_history):
    history = make_history(400, answer_share=0.5)
    (share,) = shares(history, 400)
    learner = learner_of(history)
    learner.learn(share)
    queue = next(iter(learner.memory.of_user.values()))
    assert queue[0].row.get_total_buffer_size() < share.answered.get_total_buffer_size() / 20


def test_weights_that_are_spoilt_are_refused_and_the_position_stays(make_history):
    history = make_history(48)
    learner = learner_of(history, optim={"batch": 16, "rows_learning_rate": 3e37})
    (share,) = shares(history, 48)
    with pytest.raises(NotFiniteError, match="learning window 0"):
        learner.learn(share)
    assert learner.next_window == 0


def test_a_window_that_is_left_out_moves_the_position_and_no_weight(make_history):
    history = make_history(48)
    learner = learner_of(history)
    before = copies(learner)
    first, second = shares(history, 24)
    learner.skip(first._replace(offsets={0: 24}))
    assert learner.position.model_dump(include={"next_window", "step", "requests", "offsets"}) == {
        "next_window": 1,
        "step": 0,
        "requests": 0,
        "offsets": {0: 24},
    }
    assert all(torch.equal(before[name], w) for name, w in weights_of(learner.state).items())
    with pytest.raises(ValueError, match="window 0 came where window 1"):
        learner.skip(first)
    learner.learn(second)
