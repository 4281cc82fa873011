"""Arrow tables of any kind, for Hypothesis."""

from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import strategies as st

COLUMNS = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.string(): st.text(max_size=20),
    pa.binary(): st.binary(max_size=200),
    pa.bool_(): st.booleans(),
    pa.float64(): st.floats(allow_nan=False),
    pa.timestamp("ms", "UTC"): st.datetimes(
        min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)
    ).map(lambda t: t.replace(microsecond=0)),
    pa.list_(pa.float32()): st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    pa.list_(pa.list_(pa.string())): st.lists(st.lists(st.text(max_size=3), max_size=2)),
    pa.struct([("a", pa.int8())]): st.fixed_dictionaries({"a": st.integers(-128, 127)}),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    types = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4))
    rows = draw(st.integers(1, 4))
    columns = {
        f"c{i}": pa.array(
            draw(st.lists(st.none() | COLUMNS[t], min_size=rows, max_size=rows)), type=t
        )
        for i, t in enumerate(types)
    }
    return pa.table(columns)
