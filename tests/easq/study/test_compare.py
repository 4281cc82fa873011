"""What a comparison says of evidence whose answer is known."""

import re

import pytest

from easq.study.compare import Comparison, at_equal_behaviour, compare
from easq.study.compare_page import findings
from easq.study.index_page import index
from easq.study.intervals import draw
from easq.study.methods import BASE
from easq.study.report import of_plan
from easq.study.user_sums import ALL, ANSWERS, TOP_Z, TRUTH

from .made import METHODS, PLAN, USERS, Points, curve, evidence_of, keep

EASQ = curve(0.10, 0.20)


def methods_of(points: Points) -> dict:
    return {name: METHODS[name] for name in points}


def compared(**rivals) -> Comparison:
    points = {BASE: [{}], "easq": EASQ, **rivals}
    test = evidence_of(points)
    found = at_equal_behaviour(test, draw(test.worlds), methods_of(points), "easq")
    return Comparison("easq", *found, {})


def test_a_rival_that_shows_more_satisfying_videos_is_told_of_though_its_ndcg_is_lower():
    comparison = compared(rival=curve(0.05, 0.10, shown=(0.15, 0.30)))
    lead = comparison.curves["rival"].ahead
    assert lead[TRUTH][1.0].value == pytest.approx(0.025)  # half of the way to the first point
    assert lead[TOP_Z][3.0].value == pytest.approx(-0.075)
    says = findings(comparison, METHODS).says
    by_ndcg, by_shown = says[:2], says[2:4]
    assert all("it is ahead of the rival (+0.0" in line for line in by_ndcg)
    assert all("it is behind the rival (-0.0" in line for line in by_shown)
    assert "it is behind the rival" in index({"compare": says}, of_plan(PLAN))


def test_answers_to_another_questionnaire_are_not_compared():
    comparison = compared(census=curve(0.30, 0.40, **{ANSWERS[0]: 0.1}))
    assert set(comparison.curves["census"].gain_at) == {TRUTH, TOP_Z}
    says = findings(comparison, METHODS).says
    behind = [bool(re.search("behind the ceiling the census", line)) for line in says]
    assert behind == [True] * 4 + [False] * 2


def test_table_1_counts_its_lists_and_names_the_columns_that_tell_nothing_apart(tmp_path):
    full = {"answers_hr_5": 1.0, "answers_hr_10": 0.995, "answers_ndcg_20": 0.7}
    points = {BASE: [full], "easq": curve(0.1, 0.2, **full)}
    keep(points, tmp_path)
    comparison = compare(PLAN, methods_of(points), tmp_path)
    table = comparison.tables[ALL]
    assert table.lists == [USERS, USERS]
    assert table.rows["easq"].columns["answers_ndcg_20"].value == pytest.approx(0.7)
    page = "".join(findings(comparison, METHODS).blocks)
    assert f"one list a viewer, {USERS} + {USERS} lists" in page
    assert "at least 0.995 of 1 in HR@5 and HR@10" in page
