"""A comparison from end to end on Ray: trials, page, MLflow; and what is done is not done again."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from mlflow import MlflowClient
from rich.console import Console

from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.study.methods import METHODS
from easq.study.plan import Plan
from easq.study.trial import Split
from easq.study.variants import PARTS, READINGS, SWEEP
from easq.tracking_study import EXPERIMENT
from jobs.compare import compared
from jobs.paper import written_paper
from jobs.study_trials import without_result

pytestmark = pytest.mark.ray

PLAN = Plan(
    worlds=(0,),
    seeds=(0,),
    simulation=SimulationConfig(
        world=WorldConfig(users=40, items=80, authors=10),
        traffic=TrafficConfig(requests=240, days=3),
    ),
    split=Split(warm_days=1, validation_days=1),
    settings={"model.width": 8, "model.heads": 1, "data.window": 60, "optim.batch": 30},
)


def test_a_comparison_writes_its_page_and_resumes(tmp_path):
    with Console(record=True, width=200) as console:
        page = compared(PLAN, tmp_path, console, None, None)
    trials = PLAN.trials(METHODS)
    results = [tmp_path / "trials" / trial.key / "result.json" for trial in trials]
    written = [path.stat().st_mtime_ns for path in results]
    html = page.read_text()
    assert not re.search(r'(src|href)="(?!#)', html)  # nothing outside the page
    assert html.count("<svg") == 5  # three measures at the logged cost, two at the true ones
    assert all(method.title in html for method in METHODS.values())
    found = json.loads((page.parent / "result.json").read_text())
    assert set(found["found"]["curves"]) == set(METHODS)
    assert found["plan"]["seeds"] == [0]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert {f.path for f in client.list_artifacts(run.info.run_id)} >= {"index.html", "result.json"}

    compared(PLAN, tmp_path, console, None, None)
    assert f"{len(trials)} trials, {len(trials)} of them done already" in console.export_text()
    assert [path.stat().st_mtime_ns for path in results] == written


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_paper_is_an_index_of_seven_pages(tmp_path):
    index = written_paper(PLAN, tmp_path, Console(), None, None)
    links = re.findall(r'href="([^"#]+)"', index.read_text())
    assert len(links) == 14
    assert all((tmp_path / link).is_file() for link in links)
    sweep = json.loads((tmp_path / "sweep" / "result.json").read_text())
    assert set(sweep["found"]) == set(SWEEP)
    ablate = json.loads((tmp_path / "ablate" / "result.json").read_text())
    assert set(ablate["found"]) == {*PARTS, *READINGS}


SWEPT = """
from pathlib import Path
import typer
from easq.study.plan import Plan
from easq.study.variants import SWEEP
from jobs.study_output import told_problems
from jobs.sweep import _tune

def swept(plan: str, out: Path):
    with told_problems() as console:
        _tune(Plan.model_validate_json(plan).trials(SWEEP), out, console, None)

typer.run(swept)
"""


@pytest.mark.soak
def test_a_sweep_that_is_interrupted_goes_on_with_what_is_missing(tmp_path):
    words = [sys.executable, "-c", SWEPT, PLAN.model_dump_json(), str(tmp_path)]
    trials = PLAN.trials(SWEEP)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as sweep:
        assert sweep.stdout is not None
        told = next((line for line in sweep.stdout if line.startswith("1/")), None)
        os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does
        _, problems = sweep.communicate(timeout=120)
    assert told is not None, problems
    assert sweep.returncode == 130
    assert problems == "stopped; the same command goes on with the trials that are missing\n"
    assert 0 < len(without_result(trials, tmp_path, Console())) < len(trials)
