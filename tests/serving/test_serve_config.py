"""infra/serve/easq.yaml means what it says: Serve itself accepts misspelt options silently."""

from pathlib import Path

import yaml
from ray.serve.schema import (
    DeploymentSchema,
    HTTPOptionsSchema,
    ServeApplicationSchema,
    ServeDeploySchema,
)

from serving.app import app
from serving.config import ServingSettings

FILE = Path(__file__).parents[2] / "infra" / "serve" / "easq.yaml"


def test_every_key_of_the_serve_config_is_known():
    config = yaml.safe_load(FILE.read_text())
    ServeDeploySchema.model_validate(config)
    assert config.keys() <= ServeDeploySchema.model_fields.keys()
    assert config["http_options"].keys() <= HTTPOptionsSchema.model_fields.keys()
    (application,) = config["applications"]
    assert application.keys() <= ServeApplicationSchema.model_fields.keys()
    (deployment,) = application["deployments"]
    assert deployment.keys() <= DeploymentSchema.model_fields.keys()


def test_the_config_builds_the_application_that_it_names():
    (application,) = yaml.safe_load(FILE.read_text())["applications"]
    assert application["import_path"] == f"{app.__module__}:{app.__name__}"
    built = app(ServingSettings.model_validate(application["args"]))
    deployment = built._bound_deployment
    assert deployment.name == application["deployments"][0]["name"]
    assert deployment.num_replicas == 2
    assert deployment.max_ongoing_requests >= 64
    assert deployment.max_queued_requests > 0
