"""Arms of an experiment are ranked for by their own model lines, and say so."""

import asyncio
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from easq.artefact import load_ranker
from easq.experiment.assignment import Arm, Experiment, bucket
from easq.registry import Version
from serving.api import build_api
from serving.app import lines_of
from serving.config import ServingSettings
from serving.lines import Followed, Lines
from serving.refresh import Refresher
from serving.replica import RankerReplica
from serving.vitals import VitalSigns

EXPERIMENT = Experiment(
    name="easq-against-emer",
    salt="s",
    arms=(Arm(name="control", share=0.3, model="emer"), Arm(name="treatment", share=0.3)),
)


def first_user(arm: str | None) -> int:
    """The lowest user id in an arm; None: in none."""
    found = (EXPERIMENT.arm_of(user) for user in range(1000))
    return next(user for user, one in enumerate(found) if (one and one.name) == arm)


CONTROL, TREATMENT, NEITHER = (first_user(arm) for arm in ("control", "treatment", None))


@pytest.fixture
def emer(make_version) -> Refresher:
    """The control's line: version 9 of another registered model. Tests call `look`."""
    directory = make_version(9)
    version = Version("emer", 9, "d", "run9", str(directory))
    return Refresher(lambda: version, lambda v: Path(v.uri), lambda: None, poll_seconds=1.0)


@pytest.fixture
def client(shelf, refresher, emer, tmp_path) -> TestClient:
    settings = ServingSettings(model_name="easq", max_candidates=50, cache_dir=tmp_path)
    signs = VitalSigns("r0", lambda: None)
    followed = {"easq": Followed(refresher, signs), "emer": Followed(emer, signs)}
    lines = Lines("easq", followed, EXPERIMENT)
    shelf.publish(1)
    refresher.look()
    replica = RankerReplica(settings, refresher, "r0", lines=lines)
    return TestClient(build_api(replica), raise_server_exceptions=False)


def ranked(client: TestClient, body: dict, user: int):
    return client.post("/v1/rank", json=body | {"user": body["user"] | {"user_id": user}})


@pytest.mark.parametrize(
    ("user", "arm", "model", "version"),
    [
        (CONTROL, "control", "emer", 9),
        (TREATMENT, "treatment", "easq", 1),
        (NEITHER, "rest", "easq", 1),
    ],
)
def test_a_user_is_ranked_for_by_the_line_of_the_arm(
    client, emer, body, offline_scores, shelf, user, arm, model, version
):
    emer.look()
    answer = ranked(client, body, user).json()
    assert (answer["arm"], answer["model"]["name"], answer["model"]["version"]) == (
        arm,
        model,
        version,
    )
    directory = Path(emer.live.version.uri if model == "emer" else shelf.named.uri)
    body["user"]["user_id"] = user
    offline = offline_scores(load_ranker(directory), body)
    assert dict(zip(answer["item_id"], answer["score"], strict=True)) == pytest.approx(
        offline, abs=1e-6
    )
    said = client.get(f"/v1/experiment?user_id={user}").json()
    assert said == {
        "user_id": user,
        "model": model,
        "experiment": "easq-against-emer",
        "arm": arm,
        "bucket": bucket("s", user),
    }


def test_no_other_line_stands_in_for_one_without_a_version(client, emer, body):
    assert client.get("/readyz").status_code == 503
    refused = ranked(client, body, CONTROL)
    assert refused.status_code == 503
    assert "No version of 'emer' is being served yet" in refused.json()["error"]["message"]
    assert ranked(client, body, TREATMENT).status_code == 200
    emer.look()
    assert client.get("/readyz").status_code == 200


def test_a_line_of_other_features_is_refused(client, body, shelf, emer, make_version):
    emer.look()
    spec = emer.live.ranker.spec
    fewer = spec.model_copy(update={"dense": spec.dense[:1]})
    version = Version("emer", 10, "d", "run10", str(make_version(10, fewer)))
    emer.champion = lambda: version
    emer.look()
    for refused in (client.get("/readyz"), ranked(client, body, CONTROL)):
        assert refused.status_code == 503
        said = refused.json()["error"]["message"]
        assert "Version 10 of 'emer' has other features or scenarios than version 1" in said
    assert ranked(client, body, TREATMENT).status_code == 200


def test_the_model_route_reports_every_line(client, emer):
    assert client.get("/v1/model").json()["lines"]["emer"]["live"] is None
    emer.look()
    report = client.get("/v1/model").json()
    assert report["live"]["name"] == "easq"
    assert report["lines"]["emer"]["live"]["version"] == 9


def test_a_user_that_is_no_id_is_refused_as_ever(client, emer, body):
    emer.look()
    answer = ranked(client, body, "seven")  # type: ignore[arg-type]
    assert answer.json()["error"]["code"] == "wrong_type"


@pytest.mark.parametrize("query", ["", "?user_id=x", "?user_id=1&user_id=2", f"?user_id={2**63}"])
def test_the_arm_of_no_user_is_refused(client, query):
    answer = client.get(f"/v1/experiment{query}")
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "user_id"


def test_without_an_experiment_all_users_have_the_service_s_model(replica):
    said = TestClient(build_api(replica)).get("/v1/experiment?user_id=7").json()
    assert said["model"] == "easq"
    assert (said["experiment"], said["arm"], said["bucket"]) == (None, None, None)


def test_a_service_has_a_line_for_every_model_that_an_arm_names(tmp_path):
    file = tmp_path / "experiment.toml"
    arms = [("a", f'model = "emer"\nmodels = "sqlite:///{tmp_path}/emer.db"'), ("b", "")]
    rows = [f'[[arms]]\nname = "{name}"\nshare = 0.1\n{more}\n' for name, more in arms]
    file.write_text('name = "e"\nsalt = "s"\n' + "".join(rows))
    settings = ServingSettings(
        model_name="easq",
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        cache_dir=tmp_path / "versions",
        experiment=file,
    )

    async def built() -> Lines:  # a replica is made in the event loop that its requests run in
        return lines_of(settings, "r0")

    lines = asyncio.run(built())
    followed = {name: line.refresher for name, line in lines.followed.items()}
    assert set(followed) == {"easq", "emer"}
    assert followed["easq"].delta_report is None  # the service has no log
    assert followed["emer"].delta_report is not None
    assert (tmp_path / "emer.db").is_file()
