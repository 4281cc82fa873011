"""Serve on this machine alone, on a Ray of its own and free ports, until told to stop.

Usage: python -m serving.up      (settings: EASQ_..., serving/config.py)
"""

import json
import logging
import os
import secrets
import signal
import sys
import threading

from easq.free_ports import free_ports
from easq.own_folder import own_folder
from easq.ray_watch import ended_with_ray
from serving import front_door
from serving.config import ServingSettings, from_environment


def main() -> None:
    try:
        settings = from_environment()
    except ValueError as error:
        print(f"The service cannot start with these settings.\n{error}", file=sys.stderr)
        sys.exit(2)
    with own_folder("easq-serving-") as folder:
        os.environ.update(front_door.environment(folder) | {"RAY_USAGE_STATS_ENABLED": "0"})
        # As training's workers (jobs/cluster.py), or these would starve beside them.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Without a token of its own, Ray would leave one in the home folder for later clusters.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        serve_until_told(settings)


def serve_until_told(settings: ServingSettings) -> None:
    import ray  # after the environment is set
    from ray import serve

    from serving.app import app

    free = free_ports(2)
    port = settings.port or free[0]
    context = ray.init(
        address="local",
        num_cpus=settings.replicas + 1,
        include_dashboard=settings.dashboard,
        dashboard_host="127.0.0.1",
        dashboard_port=free[1],
        log_to_driver=False,
        logging_level=logging.WARNING,
    )
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # only now: ray.init sets its own
        signal.signal(number, lambda *_: told_to_stop.set())
    try:
        with ended_with_ray():
            serve.start(
                proxy_location="HeadOnly",
                http_options={"host": settings.host, "port": port},
                logging_config={"log_level": "WARNING"},
            )
            serve.run(app(settings), name="easq", route_prefix="/")
            _tell(settings, f"http://{settings.host}:{port}", context.dashboard_url or None)
            told_to_stop.wait()
            serve.shutdown()
    finally:
        ray.shutdown()


def _tell(settings: ServingSettings, url: str, dashboard: str | None) -> None:
    if settings.state_file is not None:
        state = {"url": url, "pid": os.getpid(), "dashboard": dashboard and f"http://{dashboard}"}
        whole = settings.state_file.with_suffix(".tmp")
        whole.write_text(json.dumps(state))
        whole.replace(settings.state_file)
    print(f"Serving {settings.model_name} at {url} (routes: {url}/docs)", flush=True)


if __name__ == "__main__":
    main()
