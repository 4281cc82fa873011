"""From events to the pairs of a step: an answer teaches once, and never the main pathway."""

import numpy as np
import pyarrow as pa

from easq.answer_memory import AnswerMemory
from easq.events import Answer
from easq.pairs import PairsConfig
from easq.samples import BehaviourOrder, sample_schema
from easq.train.batch import Batch
from easq.train.collate import Collator
from easq.train.share import cut


def pairs_of(pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.preferred.tolist(), pairs.other.tolist(), strict=True))


def learnt(windows: list[pa.Table], spec) -> list[Batch]:
    """A batch a window, with an answer memory that goes on."""
    memory = AnswerMemory(per_user=4, days=30)
    collator = Collator(spec, BehaviourOrder(), PairsConfig(), memory)
    return [
        batch
        for number, window in enumerate(windows)
        for batch in collator.batches(
            cut(window.select(sample_schema(spec).names), number, 0, "2022-04-15", 0, 1), 512, 0, 1
        )
    ]


def test_an_answer_and_the_behaviour_after_it_make_each_their_own_pairs(script, spec):
    of = script.shown(1_000)
    script.watched(2_000, of, 1, 20.0)
    script.watched(3_000, of, 2, 8.0)  # long enough to be asked about, item 3 is not
    script.watched(4_000, of, 3, 1.0)
    script.answered(5_000, of, 1)
    script.watched(6_000, of, 2, 90.0, "like")
    script.tick(40_000)
    answered, behaved = learnt(script.joined(), spec)
    assert pairs_of(answered.main) == set()
    assert pairs_of(answered.satisfaction) == {(0, 1)}
    assert pairs_of(behaved.main) == {(1, 0), (1, 2), (0, 2)}
    assert pairs_of(behaved.satisfaction) == set()


def test_opposite_answers_of_a_user_meet_once(script, spec):
    first, second = script.shown(1_000), script.shown(1_001, "s", items=(4, 5), asked=(5,))
    script.answered(2_000, first, 1)
    script.answered(20_000, second, 5, answer=Answer.DISSATISFIED)
    script.tick(60_000)
    batches = learnt(script.joined(), spec)
    found = [pairs_of(batch.satisfaction) for batch in batches]
    assert [len(pairs) for pairs in found] == [0, 1]
    (preferred, other), candidates = next(iter(found[1])), batches[1].inputs.slots.request
    assert candidates[preferred] != candidates[other]
    assert np.isclose(batches[1].satisfaction.weight.item(), PairsConfig().user_window)
