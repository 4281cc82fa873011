"""The simulated world as features and samples. Nothing here sees satisfaction."""

import numpy as np
import pyarrow as pa

from easq.events import BEHAVIOURS, Answer
from easq.features import Categorical, Dense, FeatureSpec
from easq.samples import BEHAVIOUR_SAMPLE, sample_schema
from easq.simulate.simulation import Outcome, SimulationConfig
from easq.simulate.traffic import DAY_MS, SCENARIOS, Requests, TrafficConfig
from easq.simulate.world import World

BANDS = 8
ROWS_AN_ID = 20
"""So few ids of a feature share an embedding row."""


def feature_spec(config: SimulationConfig) -> FeatureSpec:
    """The features that simulated samples carry."""
    world = config.world

    def ids(name: str, of: str, width: int, count: int) -> Categorical:
        return Categorical.model_validate(
            {"name": name, "of": of, "width": width, "rows": ROWS_AN_ID * count}
        )

    return FeatureSpec(
        categorical=(
            ids("user_id", "user", 64, world.users),
            ids("segment", "user", 32, world.segments),
            ids("activity_band", "user", 8, BANDS),
            ids("item_id", "item", 64, world.items),
            ids("author", "item", 32, world.authors),
            ids("tag", "item", 8, world.tags),
            ids("duration_band", "item", 8, BANDS),
            ids("scenario", "context", 8, len(SCENARIOS)),
            ids("hour", "context", 8, 24),
        ),
        dense=(Dense(name="log_duration", of="item"), Dense(name="age", of="item")),
        upstream=tuple(config.upstream.error),
        scenarios=SCENARIOS,
    )


def sample_table(
    config: SimulationConfig, world: World, requests: Requests, outcome: Outcome, first: int
) -> pa.Table:
    """Samples of some requests, the first of them number `first` of the simulation."""
    columns = {
        **request_columns(config.traffic, requests, first),
        "user_id": requests.user,
        "scenario": np.array(SCENARIOS, dtype=object)[requests.explore.astype(int)],
        "kind": np.full(len(requests.user), BEHAVIOUR_SAMPLE, dtype=object),
        **user_features(world, requests.user),
    }
    schema = sample_schema(feature_spec(config))
    flat = {
        **item_features(world, outcome.candidates.item, _days(requests, outcome)),
        **{f"upstream.{name}": values for name, values in outcome.scores.items()},
        **_feedback(config.traffic, world, requests, outcome),
    }
    lengths = outcome.candidates.lengths
    for name, values in flat.items():
        columns[name] = lists(values, lengths, schema.field(name).type.value_type)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def user_features(world: World, user: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "user.segment": world.users.segment[user],
        "user.activity_band": bands(world.users.activity)[user],
    }


def item_features(
    world: World, item: np.ndarray, days_since: np.ndarray | float
) -> dict[str, np.ndarray]:
    """Features of videos so many days after the first midnight, [N] each."""
    items = world.items
    return {
        "item_id": item,
        "item.author": items.author[item],
        "item.tag": items.tag[item],
        "item.duration_band": bands(items.duration_seconds)[item],
        "item.log_duration": np.log(items.duration_seconds[item] / 9.6),
        "item.age": np.log1p(items.age_days[item] + days_since) / 3,
    }


def _days(requests: Requests, outcome: Outcome) -> np.ndarray:
    return requests.time_ms[outcome.candidates.request] / DAY_MS


def _feedback(
    config: TrafficConfig, world: World, requests: Requests, outcome: Outcome
) -> dict[str, np.ndarray]:
    watched, answer = outcome.behaviour.watched_seconds, outcome.replies.answer
    ended = config.start_ms + requests.time_ms[outcome.candidates.request] + _until_end(outcome)
    return {
        "exposed": outcome.exposed,
        "watched_seconds": watched,
        "duration_seconds": world.items.duration_seconds[outcome.candidates.item],
        **{f"behaviour.{name}": outcome.behaviour.actions[name] for name in BEHAVIOURS},
        "answer": answer,
        "answer_time_ms": np.where(answer == Answer.NONE, 0, ended),
    }


def _until_end(outcome: Outcome) -> np.ndarray:
    """Milliseconds from the request to the end of each view; videos play in the shown order."""
    request = outcome.candidates.request
    order = np.lexsort((outcome.place, request))
    total = np.cumsum(outcome.behaviour.watched_seconds[order], dtype=np.float64)
    before = np.concatenate([[0.0], total])[np.searchsorted(request, request)]
    seconds = np.empty(len(request))
    seconds[order] = total - before
    return (1000 * seconds).astype(np.int64)


def request_columns(config: TrafficConfig, requests: Requests, first: int) -> dict:
    """Id and time of each request; ids count up with time."""
    numbers = range(first, first + len(requests.user))
    return {
        "request_id": [f"r-{n:09d}" for n in numbers],
        "request_time_ms": config.start_ms + requests.time_ms,
    }


def bands(values: np.ndarray) -> np.ndarray:
    """Eight bands of equal count, by rising value."""
    return np.argsort(np.argsort(values)) * BANDS // len(values)


def lists(values: np.ndarray, lengths: np.ndarray, dtype: pa.DataType) -> pa.ListArray:
    """Flat candidates as one list a request, as samples store them."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    element = pa.field("item", dtype, nullable=False)
    flat = pa.array(values.astype(dtype.to_pandas_dtype()))
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=pa.list_(element))
