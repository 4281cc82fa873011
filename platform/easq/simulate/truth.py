"""What only the simulator knows, kept beside the samples: DIR/truth, one row a request."""

import pyarrow as pa
import pyarrow.parquet as pq

from easq.history import History
from easq.simulate.columns import lists, request_columns
from easq.simulate.simulation import Outcome
from easq.simulate.traffic import Requests, TrafficConfig


def _each(name: str, dtype: pa.DataType) -> pa.Field:
    return pa.field(name, pa.list_(pa.field("item", dtype, nullable=False)), nullable=False)


SCHEMA = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("request_time_ms", pa.int64(), nullable=False),
        # Hidden z of all candidates, shown or not.
        _each("satisfaction", pa.float32()),
        # z without the chance of the single view: the most that features could tell.
        _each("expected_satisfaction", pa.float32()),
        # Place in the logging policy's ranking, 0 first.
        _each("policy_place", pa.int16()),
        # Level of what the viewer would have done, shown or not (easq.samples.BehaviourOrder).
        _each("behaviour_level", pa.int8()),
    ]
)


def truth_table(
    config: TrafficConfig, requests: Requests, outcome: Outcome, first: int
) -> pa.Table:
    """The truth of some requests, the first of them number `first` of the simulation."""
    lengths = outcome.candidates.lengths
    columns = {
        **request_columns(config, requests, first),
        "satisfaction": lists(outcome.satisfaction, lengths, pa.float32()),
        "expected_satisfaction": lists(outcome.expected, lengths, pa.float32()),
        "policy_place": lists(outcome.place, lengths, pa.int16()),
        "behaviour_level": lists(outcome.level, lengths, pa.int8()),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def read_truth(history: History, days: int | None = None) -> pa.Table:
    """The truth of a simulated history, row by row that of its samples in time order.

    `days`: of so many first days, of all unless told.

    Raises FileNotFoundError where the history was not simulated, ValueError where samples and
    truth belong to different simulations.
    """
    described = history.description.days[:days]
    paths = [history.root / "truth" / f"day={d.day}" / "part-0.parquet" for d in described]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]} is missing: only simulated histories know the truth (`easq simulate`)."
        )
    truth = pa.concat_tables(pq.ParquetFile(path).read() for path in paths)
    samples = pa.concat_tables(
        pq.ParquetFile(history.root / d.file).read(["request_id"]) for d in described
    )
    if not truth.column("request_id").equals(samples.column("request_id")):
        raise ValueError(f"truth and samples of {history.root} differ; simulate it again.")
    return truth
