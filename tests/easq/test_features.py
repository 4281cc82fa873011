"""Raw columns of requests -> what the model reads."""

import numpy as np
import pytest

from easq.encoding import encode, hash_rows, normalised_ranks
from easq.features import Categorical, Columns, Dense, FeatureSpec

DAY, HOUR = 86_400_000, 3_600_000


def columns(times: list[int], scenarios: list[str], lengths: list[int]) -> Columns:
    n = sum(lengths)
    user = {"user_id": np.arange(len(times))}
    item = {"item_id": np.arange(n), "upstream.like": np.linspace(0, 1, n, dtype=np.float32)}
    return Columns(user, item, scenarios, np.array(times), np.array(lengths))


def small_spec(**options) -> FeatureSpec:
    return FeatureSpec(
        categorical=(
            Categorical(name="user_id", of="user", width=64, rows=50),
            Categorical(name="hour", of="context", width=8, rows=1000),
            Categorical(name="weekday", of="context", width=8, rows=1000),
            Categorical(name="item_id", of="item", width=64, rows=70),
        ),
        upstream=("like",),
        **options,
    )


def test_ranks_fall_from_best_0_to_worst_1_with_ties_averaged():
    score = np.array([0.5, 0.9, 0.5, 0.1, 7.0])
    ranks = normalised_ranks(score, np.array([0, 0, 0, 0, 1]), np.array([4, 1]))
    np.testing.assert_allclose(ranks, [0.5, 0.0, 0.5, 1.0, 0.0])


def test_each_feature_has_its_own_range_of_rows():
    spec = small_spec()
    inputs = encode(spec, columns([0, DAY], ["main", "main"], [3, 2]))
    users, items = inputs.user_ids[64], inputs.item_ids[64]
    assert int(users.min()) >= 0
    assert int(users.max()) < 50
    assert int(items.min()) >= 50
    assert int(items.max()) < 120
    assert spec.table_rows(64) == 120
    assert spec.token_width == 64 + 8 + 8 + 64 + 2


def test_the_same_id_hashes_apart_in_two_features():
    values = np.arange(1000)
    one = hash_rows(Categorical(name="a", of="item", width=8, rows=10**6), values)
    two = hash_rows(Categorical(name="b", of="item", width=8, rows=10**6), values)
    assert (one == two).mean() < 0.01


def test_hour_and_weekday_are_the_viewers():
    """1 January 1970, 20:00 UTC, is Friday 4:00 at UTC+8."""
    east = small_spec(utc_offset_hours=8.0)
    there = encode(east, columns([20 * HOUR], ["main"], [1])).user_ids[8]
    friday_four = encode(small_spec(), columns([DAY + 4 * HOUR], ["main"], [1])).user_ids[8]
    assert there.tolist() == friday_four.tolist()


def test_an_unknown_scenario_is_named_beside_the_known():
    with pytest.raises(ValueError, match=r"unknown scenario \['nowhere'\].*\['main'\]"):
        encode(small_spec(), columns([0], ["nowhere"], [1]))


def test_negative_and_huge_ids_are_opaque_keys():
    feature = Categorical(name="x", of="item", width=8, rows=100)
    rows = hash_rows(feature, np.array([-1, 0, 2**63 - 1, -(2**63)]))
    assert ((rows >= 0) & (rows < 100)).all()


def test_two_features_of_one_name_are_refused():
    feature = Categorical(name="x", of="item", width=8, rows=5)
    with pytest.raises(ValueError, match="different names"):
        FeatureSpec(categorical=(feature, feature))


def test_raw_seconds_are_no_feature():
    with pytest.raises(ValueError, match="cannot be named 'duration_seconds'"):
        small_spec(dense=(Dense(name="duration_seconds", of="item"),))
