"""The ranking service on Ray Serve.

Usage: serve run serving.app:app, or serve run serving.app:app model_name=easq poll_seconds=5
Settings come from the environment (EASQ_...; serving/config.py); arguments go before them.
Behind HAProxy (serving/front_door.py): serve run infra/serve/easq.yaml, which names the host.
"""

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.context import _get_global_client

from easq.log.connect import open_log
from easq.registry import champion, fetch
from easq.registry_aliases import numbered
from easq.version_cache import evict
from serving.api import build_api
from serving.config import ServingSettings
from serving.refresh import Refresher
from serving.replica import RankerReplica
from serving.rollout import FollowedRollout, RolloutWatcher


@serve.deployment(
    max_ongoing_requests=64,
    max_queued_requests=256,
    backpressure_config={"status_code": 429, "retry_after_s": 1},
    health_check_period_s=1,
    health_check_timeout_s=5,
    graceful_shutdown_timeout_s=5,
    logging_config={"enable_access_log": False},
)
@serve.ingress()
class RankerDeployment:
    def __init__(self, settings: ServingSettings) -> None:
        settings.check_exposure(_serve_host())
        uri, model = settings.tracking_uri, settings.model_name
        rollout = FollowedRollout(
            lambda: serve.get_replica_context().rank.rank,
            lambda: champion(uri, model),
            lambda number: numbered(uri, model, number),
        )
        refresher = Refresher(
            rollout.target,
            lambda version: fetch(settings.tracking_uri, version, settings.cache_dir),
            lambda: evict(settings.cache_dir),
            settings.poll_seconds,
        )
        name = serve.get_replica_context().replica_id.unique_id
        self.replica = RankerReplica(settings, refresher, name)
        if settings.log is not None:
            seconds = settings.rollout_seconds
            models = open_log(settings.log)
            RolloutWatcher(models, rollout, refresher.wake, seconds).start()
        refresher.start()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self.replica)


def _serve_host() -> str | None:
    """Where Serve listens, which its starter decides: with HAProxy, every interface by default.

    No public call tells it.
    """
    client = _get_global_client()
    assert client is not None  # this runs in a replica
    return client.http_config.host


def app(settings: ServingSettings) -> Application:
    """Build the application; Serve calls it with the arguments of `serve run` or the config."""
    return RankerDeployment.options(num_replicas=settings.replicas).bind(settings)
