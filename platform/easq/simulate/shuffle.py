"""The null experiment: answers that have nothing to do with the views they were given on."""

import numpy as np
import pyarrow as pa

from easq.events import Answer
from easq.simulate.columns import lists


def shuffled_answers(samples: pa.Table, seed: int) -> pa.Table:
    """The same samples with all answers dealt anew among those who answered.

    Who answered, and how many gave each answer, stay; what was answered no longer has to do with
    the view. A method that still gains from such answers gains from something else.
    """
    column = samples.column("answer").combine_chunks()
    answer = column.flatten().to_numpy().copy()
    given = answer != Answer.NONE
    answer[given] = np.random.default_rng(seed).permutation(answer[given])
    lengths = column.value_lengths().to_numpy()
    dealt = lists(answer, lengths, pa.int8())
    index = samples.schema.get_field_index("answer")
    return samples.set_column(index, samples.schema.field(index), dealt)
