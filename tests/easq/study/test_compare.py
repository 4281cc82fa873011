"""What a comparison says of evidence whose answer is known."""

import re

import pytest

from easq.study.compare import Comparison, at_equal_behaviour
from easq.study.compare_page import findings
from easq.study.index_page import index
from easq.study.intervals import draw
from easq.study.methods import BASE
from easq.study.plan import PRESETS
from easq.study.report import of_plan
from easq.study.user_sums import ANSWERS, TOP_Z, TRUTH

from .made import METHODS, curve, evidence_of

EASQ = curve(0.10, 0.20)


def compared(**rivals) -> Comparison:
    points = {BASE: [{}], "easq": EASQ, **rivals}
    test = evidence_of(points)
    methods = {name: METHODS[name] for name in points}
    return Comparison("easq", *at_equal_behaviour(test, draw(test.worlds), methods, "easq"), {})


def test_a_rival_that_shows_more_satisfying_videos_is_told_of_though_its_ndcg_is_lower():
    comparison = compared(rival=curve(0.05, 0.10, shown=(0.15, 0.30)))
    lead = comparison.curves["rival"].ahead
    assert lead[TRUTH][1.0].value == pytest.approx(0.025)  # half of the way to the first point
    assert lead[TOP_Z][3.0].value == pytest.approx(-0.075)
    says = findings(comparison, METHODS).says
    by_ndcg, by_shown = says[:2], says[2:4]
    assert all("it is ahead of the rival (+0.0" in line for line in by_ndcg)
    assert all("it is behind the rival (-0.0" in line for line in by_shown)
    assert "the rival" in index({"compare": says}, of_plan(PRESETS["quick"]))


def test_answers_to_another_questionnaire_are_not_compared():
    comparison = compared(census=curve(0.30, 0.40, **{ANSWERS[0]: 0.1}))
    census = comparison.curves["census"]
    assert set(census.gain_at) == {TRUTH, TOP_Z}
    says = findings(comparison, METHODS).says
    assert [bool(re.search("behind the ceiling the census", line)) for line in says] == [
        *[True] * 4,
        *[False] * 2,
    ]
