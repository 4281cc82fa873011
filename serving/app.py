"""The ranking service on Ray Serve.

Usage: serve run serving.app:app, or serve run serving.app:app model_name=easq poll_seconds=5
Settings come from the environment (EASQ_...; serving/config.py); arguments go before them.
Behind HAProxy (serving/front_door.py): serve run infra/serve/easq.yaml, which names the host.
"""

import asyncio
from pathlib import Path

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.context import _get_global_client

from easq.experiment.assignment import load_experiment
from easq.log.connect import open_log
from easq.log.interface import Log
from easq.registry import champion, fetch
from easq.registry_aliases import numbered
from easq.version_cache import evict
from serving.api import build_api
from serving.config import ServingSettings
from serving.deltas import DeltaFollower
from serving.feedback import Feedback
from serving.lines import Followed, Lines
from serving.refresh import Refresher
from serving.replica import RankerReplica
from serving.rollout import FollowedRollout, RolloutWatcher
from serving.token_key import token_key
from serving.vitals import VitalSigns, VitalsTeller

FIRST_LOOK_SECONDS = 30.0
"""So long a new replica takes no requests while it loads its first version."""


@serve.deployment(
    # Of all routes together, so these only bound memory, a body each: rankings are refused long
    # before, by serving/admission.py, and events and probes get through.
    max_ongoing_requests=256,
    max_queued_requests=1024,
    backpressure_config={"status_code": 503, "retry_after_s": 1},
    health_check_period_s=1,
    health_check_timeout_s=5,
    graceful_shutdown_timeout_s=5,
    logging_config={"enable_access_log": False},
)
@serve.ingress()
class RankerDeployment:
    async def __init__(self, settings: ServingSettings) -> None:
        settings.check_exposure(_serve_host())
        name = serve.get_replica_context().replica_id.unique_id
        lines = lines_of(settings, name)
        own = lines.followed[settings.model_name].refresher
        self.replica = RankerReplica(settings, own, name, feedback_of(settings), lines)
        for followed in lines.followed.values():
            followed.refresher.start()
        # Until this returns, requests go to the other replicas, which have a version.
        for followed in lines.followed.values():
            await asyncio.to_thread(followed.refresher.wait_for_first_look, FIRST_LOOK_SECONDS)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_api(self.replica)


def log_of(settings: ServingSettings) -> Log | None:
    """None where no log is named. Whoever opens it first makes it, so all say its partitions."""
    return None if settings.log is None else open_log(settings.log, settings.log_partitions)


def feedback_of(settings: ServingSettings) -> Feedback | None:
    """None where no log is named."""
    log = log_of(settings)
    return None if log is None else Feedback(log, token_key(settings), settings)


def lines_of(settings: ServingSettings, replica: str) -> Lines:
    """The service's own line and those of the experiment's arms, none of them started."""
    own, name = settings.model_name, replica
    lines = {own: _line(settings, name, own, log_of(settings), settings.cache_dir)}
    if settings.experiment is None:
        return Lines(own, lines)
    experiment = load_experiment(settings.experiment)
    for arm in experiment.arms:
        if arm.model is not None and arm.model not in lines:
            models = None if arm.models is None else open_log(arm.models)
            cache = settings.cache_dir / "lines" / arm.model
            lines[arm.model] = _line(settings, name, arm.model, models, cache)
    return Lines(own, lines, experiment)


def _line(
    settings: ServingSettings, replica: str, model: str, models: Log | None, cache: Path
) -> Followed:
    """Follows a registered model, and where topic `models` of its own is known, that too."""
    uri = settings.tracking_uri
    rollout = FollowedRollout(
        lambda: serve.get_replica_context().rank.rank,
        lambda: champion(uri, model),
        lambda number: numbered(uri, model, number),
    )
    refresher = Refresher(
        rollout.target,
        lambda version: fetch(uri, version, cache),
        lambda: evict(cache),
        settings.poll_seconds,
        _deltas(models, rollout),
    )
    signs = VitalSigns(replica, lambda: rollout.newest)
    if models is not None:
        RolloutWatcher(models, rollout, refresher.wake, settings.rollout_seconds).start()
        VitalsTeller(models, signs, settings.vitals_seconds).start()
    return Followed(refresher, signs)


def _deltas(models: Log | None, rollout: FollowedRollout) -> DeltaFollower | None:
    """Serve constructs a replica in the event loop that its requests run in."""
    if models is None:
        return None
    loop = asyncio.get_running_loop()
    return DeltaFollower(models, loop.call_soon_threadsafe, lambda: rollout.stopped)


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
