"""Labels that would show in every score that has seen them."""

import numpy as np
import pyarrow as pa

from easq.events import BEHAVIOURS, Answer
from easq.history import History, Window
from easq.simulate.columns import lists

LONG_SECONDS = 60.0


def poisoned(table: pa.Table) -> pa.Table:
    """Every label turned round: who watched or liked did not, who was satisfied was not."""
    for name in (f"behaviour.{b}" for b in BEHAVIOURS):
        table = _replaced(table, name, ~_flat(table, name))
    watched = np.where(_flat(table, "watched_seconds") > 0, 0.0, LONG_SECONDS)
    table = _replaced(table, "watched_seconds", watched)
    given = _flat(table, "answer")
    turned = np.where(given == Answer.NONE, Answer.SATISFIED, Answer.DISSATISFIED)
    return _replaced(table, "answer", turned)


def _flat(table: pa.Table, name: str) -> np.ndarray:
    return table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)


def _replaced(table: pa.Table, name: str, flat: np.ndarray) -> pa.Table:
    index = table.schema.get_field_index(name)
    field, column = table.schema.field(index), table.column(name).combine_chunks()
    of = field.type.value_type
    values = lists(flat.astype(of.to_pandas_dtype()), column.value_lengths().to_numpy(), of)
    return table.set_column(index, field, values)


class Poisoned(History):
    """A history whose labels are turned round from a day on."""

    def __init__(self, history: History, from_day: str) -> None:
        super().__init__(history.root, history.description)
        self.from_day = from_day

    def read(self, window: Window) -> pa.Table:
        table = super().read(window)
        return poisoned(table) if window.day >= self.from_day else table
