"""The A/B test before the real API with its log, two lines on one replica."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from easq.experiment.by_scenario import ALL
from easq.experiment.crowd import Crowd
from easq.experiment.table2 import compare
from easq.log.interface import EVENTS
from easq.log.sqlite import SqliteLog
from easq.simulate.simulation import SimulationConfig, draw_surroundings
from easq.simulate.traffic import TrafficConfig
from easq.simulate.visits import VisitConfig
from easq.simulate.world import WorldConfig
from easq.study.plan import Plan
from easq.study.report import Origin
from jobs import ab_loop
from jobs.ab import ab, ab_tested, experiment_of
from jobs.ab_loop import own_line
from jobs.ab_outcome import CONTROL, TREATMENT
from jobs.ab_report import findings
from jobs.ab_service import HttpService
from jobs.sole_loop import sole_loop
from jobs.study_output import written
from serving.api import build_api
from serving.config import ServingSettings
from serving.feedback import Feedback
from serving.lines import Followed, Lines
from serving.refresh import Refresher
from serving.replica import RankerReplica
from serving.vitals import VitalSigns

KEY = "sixteen letters!"
USERS = 40
CONFIG = SimulationConfig(
    seed=3, world=WorldConfig(users=USERS), traffic=TrafficConfig(requests=60, days=2)
)
WEEK = TrafficConfig(requests=60)
EXPERIMENT = experiment_of(share=0.5, seed=1, same=False)


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "log.db", partitions=1)
    yield log
    log.close()


@pytest.fixture
def api(version, log):
    """Both lines have the same weights under two names."""
    settings = ServingSettings.model_validate(
        {
            "model_name": "easq",
            "token_key": KEY,
            "ask_share": 1.0,
            "ask_per_day": 1000,
            "ask_cooldown_seconds": 0.0,
            "events_per_minute": 100_000,
            "viewing_speed": 1e9,
        }
    )
    lines = {}
    for name in ("easq", "emer"):
        named = version._replace(name=name)
        lines[name] = Refresher(
            lambda named=named: named, lambda v: Path(v.uri), lambda: None, poll_seconds=1.0
        )
        lines[name].look()
    followed = {
        name: Followed(line, VitalSigns("r0", lambda: None)) for name, line in lines.items()
    }
    feedback = Feedback(log, KEY.encode(), settings)
    replica = RankerReplica(
        settings,
        lines["easq"],
        "r0",
        feedback,
        Lines("easq", followed, EXPERIMENT),
    )
    yield build_api(replica)
    feedback.close()


def test_a_day_over_http_is_counted_by_the_users_and_kept_by_the_platform(
    api, log, serving_at, tmp_path, mlflow_uri
):
    with serving_at(api) as url:
        service = HttpService(url, CONFIG, draw_surroundings(CONFIG)[0])
        crowd = Crowd(CONFIG, VisitConfig(), service)
        assert list(crowd.live(1)) == [1]
    sums, kept = crowd.sums[ALL], log.read(EVENTS, 0, 0, max_rows=100_000)
    kinds = Counter(kept.table.column("kind").to_pylist())
    assert kinds["impression"] == service.counts["ranked"] == sums.views.sum() / 8
    assert kinds["behaviour"] == sums.views.sum()
    assert kinds["answer"] == sums.answers.sum() > 0
    assert service.counts.keys() == {"ranked", "accepted"}  # nothing was rejected
    assert set(service.models) == {(CONTROL, "emer"), (TREATMENT, "easq")}
    arm = EXPERIMENT.arms_of(np.arange(USERS))
    of_control = service.models[CONTROL, "emer"]
    assert of_control == sums.views[arm == 0].sum() / 8

    found = compare(sums, arm, EXPERIMENT, TREATMENT, CONTROL)
    origin = Origin({"users": f"{USERS}"}, {}, [])
    told = findings(found, "EASQ against EMER", "Which is better?", {"main": found})
    assert "false_positives" not in told.found
    page = written("ab", origin, told, tmp_path, mlflow_uri).read_text()
    assert f"<td>LT7</td><td>{found.differences['LT7'].treatment:.4g}</td>" in page
    figures = json.loads((tmp_path / "ab" / "result.json").read_text())["found"]
    assert figures["users"]["seen"] == [int((arm == 1).sum()), int((arm == 0).sum())]
    came = sums.views > 0
    assert figures["served"]["seen"] == [int((came & (arm == n)).sum()) for n in (1, 0)]


def test_at_the_paper_s_share_the_rest_sees_the_service_s_own_line():
    """EASQ §5.3: 5.1 % of the users in each arm."""
    users = CONFIG.model_copy(update={"world": WorldConfig(users=10_000)})
    test = ab_loop.Test(users, experiment_of(share=0.051, seed=7, same=False), days=7)
    arm = test.experiment.arms_of(np.arange(10_000))
    assert [(arm == number).sum() for number in (0, 1)] == pytest.approx([510, 510], abs=66)  # 3 sd
    assert (test.line_of == (arm == 0)).all()  # line 0 is the service's own, 1 the control's
    assert test.lines == ["easq", "emer"]


def test_a_folder_of_another_test_is_refused(tmp_path):
    (tmp_path / "log.db").touch()
    with pytest.raises(ValueError, match="holds another test"):
        ab(out=tmp_path)


def test_a_second_test_is_refused_as_a_second_loop_is(tmp_path):
    with (
        sole_loop(own_line(tmp_path), tmp_path),
        pytest.raises(ValueError, match=rf"another loop runs in {tmp_path}: stop it"),
    ):
        ab(out=tmp_path)


def test_locks_of_a_loop_are_no_test(tmp_path):
    with sole_loop(own_line(tmp_path), tmp_path):
        pass
    ab(
        out=tmp_path,
        in_process=True,
        same=True,
        users=40,
        requests=40,
        days=1,
        tracking=f"sqlite:///{tmp_path}/mlflow.db",
    )
    page = (tmp_path / "ab" / "index.html").read_text()
    kept = json.loads((tmp_path / "ab" / "result.json").read_text())["found"]["false_positives"]
    assert kept["salts"] == 20
    for name, count in kept["by_metric"].items():
        row = f"<td>{name}</td><td>{count}</td><td>{kept['adjusted'][name]}</td>"
        assert f"{row}<td>up to {kept['bound']}</td>" in page
    assert f"Sample-ratio alarms: {kept['mismatches']}; chance explains up to 1." in page


def test_several_worlds_are_lived_once_and_judged_together(tmp_path, capsys):
    def lived(worlds: int) -> dict[str, Any]:
        tracking = f"sqlite:///{tmp_path}/mlflow.db"
        small = {"users": USERS, "requests": 60, "days": 1, "tracking": tracking}
        ab(out=tmp_path, in_process=True, worlds=worlds, **small)
        return json.loads((tmp_path / "ab" / "result.json").read_text())

    one = lived(1)
    assert "lived already" not in capsys.readouterr().out
    two = lived(2)
    assert capsys.readouterr().out.count("lived already") == 1
    assert two["settings"]["seed"] == "7, 8"
    alone = {name: value for name, value in one["found"].items() if name != "scenarios"}
    assert two["found"]["worlds"]["7"] == alone
    assert two["found"]["together"]["differences"]["WatchTime"]["worlds"] == 2
    page = (tmp_path / "ab" / "index.html").read_text()
    assert two["found"]["scenarios"]["explore"]["differences"]["WatchTime"]["worlds"] == 2
    assert "<th>world 7</th><th>world 8</th><th>together</th>" in page


def test_several_worlds_over_http_are_refused(tmp_path):
    with pytest.raises(ValueError, match="several worlds are for --in-process"):
        ab(out=tmp_path, worlds=2)


def test_a_test_in_process_leaves_one_over_http_alone(tmp_path):
    (tmp_path / "log.db").touch()
    with pytest.raises(ValueError, match="holds a test over HTTP"):
        ab(out=tmp_path, in_process=True)


def test_the_test_that_is_part_of_all_evidence_writes_its_page(tmp_path, mlflow_uri):
    plan = Plan(worlds=(5,), seeds=(0,), simulation=CONFIG.model_copy(update={"traffic": WEEK}))
    page = ab_tested(plan, tmp_path, Console(), None, mlflow_uri)
    result = json.loads((page.parent / "result.json").read_text())
    assert result["settings"]["seed"] == "5"
    assert result["settings"]["users"] == f"{USERS}"
    assert result["says"][0].startswith("Q-rate ")
    assert sum(result["found"]["users"]["seen"]) == USERS
