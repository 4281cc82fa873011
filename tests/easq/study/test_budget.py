"""A budget's study sets each run against its real twin, day by day, in a world that drifts."""

import numpy as np
import pytest

from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.truth import read_truth
from easq.simulate.world import WorldConfig
from easq.study.budget import BudgetPlan, judge
from easq.study.budget_page import findings, origin
from easq.study.budget_trial import _learnt, is_done, read_seen, run_trial, world
from easq.study.drift import DRIFTS, DriftingWorld, write_drifting
from easq.study.report import report

from .poison import Poisoned

WORLD = SimulationConfig(
    seed=3,
    world=WorldConfig(users=30, items=60, authors=10),
    traffic=TrafficConfig(requests=320, days=4),
)
PLAN = BudgetPlan(
    worlds=(3,),
    seeds=(0, 1),
    drifts=("clickbait",),
    simulation=WORLD,
    warm_days=1,
    drift_day=2,
    settings={
        "model.width": 8,
        "model.heads": 1,
        "data.window": 40,
        "optim.batch": 20,
        "loss.alignment": 0.0,
        "loss.offset": 0.3,
    },
    steering={"requests": 200},
)


def test_days_before_the_drift_are_of_the_world_before_it(tmp_path):
    world = DriftingWorld.of(WORLD, DRIFTS["clickbait"], 2)
    drifting = write_drifting(tmp_path / "drifting", world)
    pure = [
        write_simulation(tmp_path / str(i), c) for i, c in enumerate((world.before, world.after))
    ]
    for day, (window, *of_pure) in enumerate(
        zip(drifting.windows(), *(history.windows() for history in pure), strict=True)
    ):
        samples = [pure[i].read(of_pure[i]) for i in (0, 1)]
        assert drifting.read(window).equals(samples[int(day >= 2)])
        assert samples[0].column("user_id").equals(samples[1].column("user_id"))
    assert read_truth(drifting).num_rows == 320
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_plan_is_of_the_drifts_that_are_asked_for():
    assert PLAN.among(["answers", "taste", "answers"]).drifts == ("answers", "taste")
    with pytest.raises(ValueError, match="no drift 'tastes'; there are steady, taste"):
        PLAN.among(["tastes"])


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The trials of a plan, each run once."""
    folder = tmp_path_factory.mktemp("study")
    for trial in PLAN.trials():
        run_trial(trial, folder)
    return folder


def test_trials_differ_where_their_budget_does(out):
    trials = PLAN.trials()
    assert len({trial.key for trial in trials}) == len(trials) == 6
    assert all(is_done(trial, out) for trial in trials)
    twin, one, three = (read_seen(trial, out) for trial in trials[:3])
    assert not twin.gamma.any()
    assert one.gamma[-1] < three.gamma[-1]
    np.testing.assert_array_equal(one.day, twin.day)  # the same lists in the same order


def test_losses_are_against_the_twin_of_the_same_day(out):
    held = judge(PLAN, out)["clickbait"][1.0]
    run, seen, twin = (
        held.runs[0],
        *(read_seen(PLAN.trial("clickbait", 3, 0, percent), out) for percent in (1.0, None)),
    )
    kept = [twin.behaviour[twin.day == day].mean() for day in range(4)]
    served = [seen.behaviour[seen.day == day].mean() for day in range(4)]
    np.testing.assert_allclose(run.lost, 100 * (1 - np.array(served) / kept), atol=1e-4)
    assert held.of_runs[0] == pytest.approx(run.lost[1:].mean())
    assert held.drift_days == pytest.approx(np.mean([r.lost[2:] for r in held.runs], axis=0))


def test_the_page_shows_every_budget(out):
    judged = judge(PLAN, out)
    study = report("budget", origin(PLAN), findings(judged, PLAN, 0.1), ["easq", "budget"])
    assert "clickbait attracts" in study.html
    assert set(study.metrics) >= {"clickbait/1_percent/lost", "clickbait/3_percent/days_within"}
    assert study.result["found"]["clickbait"]["3.0"]["runs"][0]["gamma"]


def test_what_a_run_saw_of_a_day_knows_nothing_of_the_labels_after_it(out):
    """What is made of a day's own labels is compared until the first poisoned day begins."""
    trial = PLAN.trial("clickbait", 3, 0, 3.0)
    history = world(trial, out)
    days = history.description.days
    clean, poisoned = (_learnt(trial, Poisoned(history, day)) for day in ("never", days[2].day))
    for name, day in (("gamma", "window_day"), ("estimated", "window_day"), ("behaviour", "day")):
        before = getattr(clean, day) < 2
        seen, other = getattr(clean, name), getattr(poisoned, name)
        np.testing.assert_array_equal(seen[before], other[: before.sum()])
        assert not np.array_equal(seen, other)
    known = (clean.truth_day < 2).sum()
    np.testing.assert_array_equal(clean.truth[:known], poisoned.truth[:known])
    assert (clean.truth[known:] != poisoned.truth[known:]).mean() > 0.1
