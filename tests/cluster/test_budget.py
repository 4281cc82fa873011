"""The proof of the budget from end to end on Ray: trials, page, MLflow; done is not done again."""

import json

import pytest
from mlflow import MlflowClient
from rich.console import Console

from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.study.budget import BudgetPlan
from easq.tracking_study import EXPERIMENT
from jobs.budget import budgeted

pytestmark = [pytest.mark.ray, pytest.mark.soak]

PLAN = BudgetPlan(
    worlds=(0,),
    seeds=(0,),
    drifts=("steady", "answers"),
    simulation=SimulationConfig(
        world=WorldConfig(users=40, items=80, authors=10),
        traffic=TrafficConfig(requests=240, days=3),
    ),
    warm_days=1,
    drift_day=2,
    targets=(2.0,),
    settings={
        "model.width": 8,
        "model.heads": 1,
        "data.window": 60,
        "optim.batch": 30,
        "loss.alignment": 0.0,
        "loss.offset": 0.1,
    },
)


def test_the_proof_writes_its_page_and_resumes(tmp_path):
    with Console(record=True, width=200) as console:
        page = budgeted(PLAN, tmp_path, console, None, None)
        results = sorted(tmp_path.glob("budget_trials/*/result.json"))
        written = [path.stat().st_mtime_ns for path in results]
        budgeted(PLAN, tmp_path, console, None, None)
    assert len(results) == 4
    assert "4 trials, 4 of them done already" in console.export_text()
    assert [path.stat().st_mtime_ns for path in results] == written
    found = json.loads((page.parent / "result.json").read_text())["found"]
    assert set(found) == {"steady", "answers"}
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"budget"}
    assert "answers/2_percent/lost" in runs[0].data.metrics
