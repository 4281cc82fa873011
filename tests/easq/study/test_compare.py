"""What a comparison says of evidence whose answer is known."""

import re
from dataclasses import replace

import numpy as np
import pytest

from easq.study.compare import Comparison, _chosen, at_equal_behaviour, compare
from easq.study.compare_page import findings
from easq.study.evidence import evidence
from easq.study.index_page import index
from easq.study.intervals import draw
from easq.study.measures import improvement
from easq.study.methods import BASE
from easq.study.report import of_plan
from easq.study.user_sums import (
    ALL,
    ANSWERS,
    BEHAVIOUR,
    METRICS,
    TOP_BEHAVIOUR,
    TOP_UNSEEN,
    TOP_Z,
    TRUTH,
    UserSums,
)

from .made import METHODS, PLAN, STEP, USERS, Means, Points, curve, evidence_of, keep

EASQ = curve(0.10, 0.20)


def methods_of(points: Points) -> dict:
    return {name: METHODS[name] for name in points}


def compared(**rivals) -> Comparison:
    points = {BASE: [{}], "easq": EASQ, **rivals}
    test = evidence_of(points)
    found = at_equal_behaviour(test, draw(test.worlds), methods_of(points), "easq")
    true = {TOP_BEHAVIOUR: dict(found[1])}
    return Comparison("easq", *found, {}, true, {})


def test_a_rival_that_shows_more_satisfying_videos_is_told_of_though_its_ndcg_is_lower():
    comparison = compared(rival=curve(0.05, 0.10, shown=(0.15, 0.30)))
    lead = comparison.curves["rival"].ahead
    assert lead[TRUTH][1.0].value == pytest.approx(0.025)  # half of the way to the first point
    assert lead[TOP_Z][3.0].value == pytest.approx(-0.075)
    says = findings(comparison, METHODS).says
    by_ndcg, by_shown = says[:2], says[2:4]
    assert says[0].startswith("At 1 % of behaviour lost, by true satisfaction, NDCG@5: ")
    assert all("it is ahead of the rival (+0.0" in line for line in by_ndcg)
    assert all("it is behind the rival (-0.0" in line for line in by_shown)
    assert "it is behind the rival" in index({"compare": says}, of_plan(PLAN))


def test_a_rival_that_pays_where_the_log_does_not_look_is_found_out(tmp_path):
    """It costs what EASQ costs on what was shown, and twice as much of what viewers would do."""
    easq = [{**p, TOP_BEHAVIOUR: p[BEHAVIOUR]} for p in curve(0.1, 0.2)]
    paid = (0.5 * 0.96, 0.5 * 0.92)
    rival = [
        {**p, TOP_BEHAVIOUR: cost, TOP_UNSEEN: 0.6}
        for p, cost in zip(curve(0.12, 0.22), paid, strict=True)
    ]
    points = {BASE: [{}], "easq": easq, "rival": rival}
    keep(points, tmp_path)
    found = compare(PLAN, methods_of(points), tmp_path)
    lead = found.curves["rival"].ahead[TOP_Z][1.0]
    assert lead.value == pytest.approx(-0.01, abs=1e-6)
    over_truth = found.true[TOP_BEHAVIOUR]["rival"]
    assert over_truth.ahead[TOP_Z][1.0].value == pytest.approx(0.02, abs=1e-6)
    assert over_truth.places[1].cost.value == pytest.approx(8, abs=1e-4)
    assert [share.value for share in found.unseen["rival"]] == pytest.approx([0.1] * 2, abs=1e-6)
    page = "".join(findings(found, METHODS).blocks)
    assert "that the log never showed" in page
    assert findings(found, METHODS).metrics["rival/over_true_behaviour_top/truth_top_z/gain_at_1"]


def test_answers_to_another_questionnaire_are_not_compared():
    comparison = compared(census=curve(0.30, 0.40, answers_ndcg_5=0.1))
    assert set(comparison.curves["census"].gain_at) == {TRUTH, TOP_Z}
    says = findings(comparison, METHODS).says
    behind = [bool(re.search("behind the ceiling the census", line)) for line in says]
    assert behind == [True] * 4 + [False] * 2 + [True] * 2


def test_table_1_counts_its_lists_and_names_the_columns_that_tell_nothing_apart(tmp_path):
    full = {"answers_hr_5": 1.0, "answers_hr_10": 0.995, "answers_ndcg_20": 0.7}
    points = {BASE: [full], "easq": [{**point, **full} for point in curve(0.1, 0.2)]}
    keep(points, tmp_path)
    comparison = compare(PLAN, methods_of(points), tmp_path)
    table = comparison.tables[ALL]
    assert table.lists == [USERS, USERS]
    assert table.rows["easq"].columns["answers_ndcg_20"].value == pytest.approx(0.7)
    page = "".join(findings(comparison, METHODS).blocks)
    assert f"one list a viewer, {USERS} + {USERS} lists" in page
    assert "at least 0.995 of 1 in HR@5 and HR@10" in page


def test_the_improvement_is_the_mean_of_six_relative_gains():
    ours = dict(zip(ANSWERS, (0.66, 0.5, 0.5, 0.5, 0.5, 0.25), strict=True))
    points = {BASE: [{}], "easq": [ours, {**ours, ANSWERS[0]: 0.6}], "rival": [{ANSWERS[2]: 0.0}]}
    means = draw(evidence_of(points).worlds, n=1).observed
    of = evidence_of(points)
    # +32 %, four times nothing, -50 %
    assert improvement(of, 1, 0)(means) == pytest.approx((32 - 50) / 6)
    # the gain is of means over replicates: (.66 + .60) / 2 over .5 is +26 %
    mixed = np.stack([means[0], means[0]])
    mixed[1, 1] = mixed[1, 2]
    assert improvement(of, 1, 0)(mixed) == pytest.approx((26 - 50) / 6)
    assert np.isnan(improvement(of, 1, 3)(means))  # no gain over a column of nothing


def chosen(*points: Means) -> int:
    validation = evidence_of({BASE: [{BEHAVIOUR: 0.5}], "easq": points})
    return _chosen(validation)["easq"]


def at(cost_percent: float, answers: float) -> Means:
    return {BEHAVIOUR: 0.5 * (1 - cost_percent / 100), ANSWERS[0]: answers}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([at(1, 0.6), at(2.9, 0.7), at(3.1, 0.9)], 1),  # the best of what is affordable
        ([at(1, 0.7), at(2, 0.6)], 0),
        ([at(5, 0.9), at(4, 0.6)], 1),  # nothing is affordable: the cheapest
        ([at(1, np.nan), at(2, 0.6)], 1),  # nothing was measured: it does not win
        ([at(2, np.nan), at(1, np.nan)], 1),
        ([at(np.nan, 0.9), at(4, 0.6)], 1),
    ],
)
def test_the_value_of_a_knob_is_chosen_by_answers_among_the_affordable(points, expected):
    assert chosen(*points) == expected


def test_evidence_lines_up_points_over_worlds_and_seeds(tmp_path):
    points = {BASE: [{}], "easq": curve(0.1, 0.2), "census": curve(0.3, 0.4)}
    keep(points, tmp_path)
    found = evidence(PLAN, methods_of(points), tmp_path, "test", "main")
    assert found.places == {BASE: slice(0, 1), "easq": slice(1, 3), "census": slice(3, 5)}
    means = draw(found.worlds, n=1).observed[..., METRICS.index(TRUTH)]
    replicates = [w * STEP["world"] + s * STEP["seed"] for w in (0, 1) for s in (0, 1)]
    gained = np.array([0.0, 0.1, 0.2, 0.3, 0.4])  # of two rankings of one trial too
    np.testing.assert_allclose(means, 0.5 + np.add.outer(replicates, gained), atol=1e-6)


def test_evidence_refuses_trials_that_judged_other_users_and_missing_ones(tmp_path):
    points = {BASE: [{}], "easq": curve(0.1, 0.2)}
    keep(points, tmp_path)
    with pytest.raises(FileNotFoundError):
        evidence(PLAN, methods_of({**points, "rival": []}), tmp_path, "test", ALL)
    [path] = tmp_path.glob("trials/emer-world1-seed0-*/sums.npz")
    sums = UserSums.read(path)
    replace(sums, users=sums.users + 1).write(path)
    with pytest.raises(ValueError, match="trials of world 1 judged different users"):
        evidence(PLAN, methods_of(points), tmp_path, "test", ALL)
