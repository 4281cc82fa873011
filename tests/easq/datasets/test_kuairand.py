"""Days since 1970 in request ids: 19107 is 2022-04-25, a Monday."""

import math
from itertools import chain

import pytest

from easq.datasets.kuairand import embedding_rows
from easq.datasets.kuairand_lists import Lists
from easq.history_write import write_history
from easq.samples import flatten

MIDNIGHT_MS = 1_650_816_000_000
HOUR_MS = 3_600_000


def of(imported, column: str) -> dict:
    names = imported.samples.column("request_id").to_pylist()
    return dict(zip(names, imported.samples.column(column).to_pylist(), strict=True))


def test_a_list_is_a_users_local_day(folder):
    folder.rows = [
        folder.row(1, 10, 0, hour=0),
        folder.row(1, 11, 0, hour=24 - 1 / HOUR_MS),
        folder.row(1, 12, 1, hour=0),
        folder.row(2, 10, 0),
    ]
    imported = folder.imported()
    assert of(imported, "item_id") == {"1-19107": [10, 11], "1-19108": [12], "2-19107": [10]}
    assert of(imported, "request_time_ms")["1-19107"] == MIDNIGHT_MS


def test_a_day_in_the_history_is_a_local_day(folder, tmp_path):
    imported = folder.imported()
    history = write_history(
        tmp_path / "out",
        imported.name,
        imported.features,
        imported.samples,
        imported.sources,
        imported.rejected,
    )
    days = [(day.day, day.requests) for day in history.description.days]
    assert days == [("2022-04-25", 2), ("2022-04-26", 2), ("2022-04-27", 1)]
    assert history.description.answers == {"satisfied": 1, "uncertain": 0, "dissatisfied": 1}
    flat = flatten(history.read(history.windows()[1]))
    assert flat.columns.item["item_id"].tolist() == [10, 11, 10]


def test_twenties_are_counted_back_from_a_users_last_row(folder):
    folder.rows = [folder.row(1, 100 + n, n // 12, hour=n % 12) for n in range(45)]
    lists = of(folder.imported(Lists.LAST20), "item_id")
    assert lists == {
        "1-2": list(range(100, 105)),
        "1-1": list(range(105, 125)),
        "1-0": list(range(125, 145)),
    }


def test_a_list_over_several_days_knows_only_what_was_before_its_first_one(folder):
    # All rows are of one list a user, which starts on the first day: there is no past.
    imported = folder.imported(Lists.LAST20)
    assert set(chain(*of(imported, "upstream.long_view").values())) == {0.0}


def test_likes_and_hates_are_answers_and_no_behaviours(folder):
    imported = folder.imported()
    answers = of(imported, "answer")
    assert answers["2-19107"] == [1]
    assert answers["2-19108"] == [0, 3]
    assert of(imported, "answer_time_ms")["2-19108"] == [0, MIDNIGHT_MS + 38 * HOUR_MS]
    for name in ("behaviour.like", "behaviour.hate"):
        assert not any(chain(*of(imported, name).values()))
    assert not {"like", "hate"} & {*imported.features.upstream}


def test_what_viewers_did_stands_beside_each_item(folder):
    imported = folder.imported()
    assert of(imported, "behaviour.effective_view")["1-19107"] == [True, False]
    assert of(imported, "behaviour.long_view")["2-19108"] == [True, False]
    assert of(imported, "behaviour.follow")["1-19108"] == [True]
    assert of(imported, "watched_seconds")["1-19107"] == [2.5, 2.5]
    assert of(imported, "duration_seconds")["2-19109"] == [0, 20]


def test_upstream_scores_are_smoothed_rates_of_earlier_days(folder):
    imported = folder.imported()
    scores = of(imported, "upstream.long_view")
    # 25 April: no past. 26 April: 1 of 3 rows before, item 10 1 of 2, item 11 0 of 1.
    # 27 April: 3 of 6 rows before, item 12 none, item 10 2 of 4. Strength 10.
    assert scores["1-19107"] == [0, 0]
    assert scores["2-19108"] == pytest.approx([10 / 3 / 11, (1 + 10 / 3) / 12])
    assert scores["2-19109"] == pytest.approx([0.5, 7 / 14])
    # Author 900 made items 10 and 11: all 6 rows. Item 12's author is not known.
    assert of(imported, "upstream.author_long_view")["2-19109"] == pytest.approx([0.5, 8 / 16])
    assert of(imported, "upstream.follow")["2-19109"] == pytest.approx([1 / 6, (1 + 10 / 6) / 14])
    # User 2 long-viewed 1 of 3 earlier rows, all 3 of 6.
    assert of(imported, "user.past_long_view")["2-19109"] == pytest.approx((1 + 5) / 13)
    assert of(imported, "item.past_views")["2-19109"] == pytest.approx([0, math.log(5) / 10])


def known_before(imported, days: range) -> list:
    spec = imported.features
    names = [c for c in imported.samples.column_names if c.startswith(("user", "item", "upstream"))]
    columns = {name: of(imported, name) for name in names}
    assert len(names) > len(spec.upstream) + len(spec.dense)
    return [
        (request, name, values)
        for name, by_request in columns.items()
        for request, values in by_request.items()
        if int(request.split("-")[1]) - 19107 in days
    ]


@pytest.mark.parametrize("changed", range(8))
def test_no_outcome_reaches_a_feature_of_its_day_or_an_earlier_one(folder, changed):
    before = folder.imported()
    cells = folder.rows[changed].split(",")
    outcomes = [5, 6, 7, 8, 9, 11, 14, 15, 16]  # click ... forward, long view, stays, profile
    for i in outcomes:
        cells[i] = str(1 - int(cells[i]))
    cells[10] = "0"
    cells[12] = "19000"
    folder.rows[changed] = ",".join(cells)
    after = folder.imported()
    day = (int(cells[4]) - MIDNIGHT_MS) // (24 * HOUR_MS)
    assert known_before(after, range(day + 1)) == known_before(before, range(day + 1))
    if day < 2:
        assert known_before(after, range(3)) != known_before(before, range(3))


def test_likes_and_hates_change_no_feature_at_all(folder):
    before = folder.imported()
    folder.rows[0] = folder.row(1, 10, 0, long_view=1, is_click=1, is_hate=1)
    folder.rows[2] = folder.row(2, 10, 0)
    assert known_before(folder.imported(), range(3)) == known_before(before, range(3))


def test_what_is_not_known_of_a_user_or_a_video_is_minus_one(folder):
    imported = folder.imported()
    assert of(imported, "user.onehot_feat3")["2-19107"] == -1
    assert of(imported, "user.onehot_feat3")["1-19107"] >= 0
    assert of(imported, "user.friend_user_num")["1-19107"] == 0  # empty in the file
    assert of(imported, "user.follow_user_num")["1-19107"] == pytest.approx(math.log(54) / 10)
    assert of(imported, "item.author")["2-19109"] == [-1, 900]
    tag, second = of(imported, "item.tag")["1-19107"], of(imported, "item.second_tag")["1-19107"]
    assert tag[0] == tag[1] >= 0
    assert second[0] >= 0
    assert second[1] == -1


def test_the_scenario_is_the_tab_of_most_rows_and_the_lower_of_equals(folder):
    imported = folder.imported()
    assert of(imported, "item.tab")["2-19108"] == [4, 1]
    assert of(imported, "scenario")["2-19108"] == "tab1"
    folder.rows.append(folder.row(2, 12, 1, hour=15, tab=4))
    assert of(folder.imported(), "scenario")["2-19108"] == "tab4"


@pytest.mark.parametrize(
    ("ids", "rows"), [(1, 32), (51, 1024), (52, 2048), (6088, 131_072), (27_285, 524_288)]
)
def test_tables_have_twenty_rows_an_id_up_to_the_cap(ids, rows):
    assert embedding_rows(ids, 524_288) == rows
