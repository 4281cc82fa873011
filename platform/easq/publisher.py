"""Makes versions of a running training's checkpoints and registers them, beside it.

The worker names its newest checkpoint in RUN/latest.json. Versions wait in RUN/versions until
the registry has them, so that those of an outage follow later and in order; training never
waits and never fails for it.
"""

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError

from easq.history import History
from easq.registry import CANDIDATE, CHAMPION, Version, publish
from easq.registry_client import MlflowError
from easq.train.config import TrackingSection, TrainConfig
from easq.train.latest import Latest, read_latest
from easq.train.run_folder import waiting_versions
from easq.versions import version_from_checkpoint

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
MAX_WAITING = 24
"""Versions kept while MLflow is away; each is as large as the embedding rows."""


class Publisher:
    """A thread that publishes the newest checkpoint at once, then every few minutes."""

    def __init__(
        self,
        config: TrainConfig,
        tracking: TrackingSection,
        history: History,
        run_dir: Path,
        run_id: str,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.config, self.tracking, self.history = config, tracking, history
        self.run_dir, self.run_id, self.tags = run_dir, run_id, dict(tags or {})
        self.published: Version | None = None
        self.made: Latest | None = None
        self.troubled = False
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.thread.start()

    @property
    def waiting(self) -> list[Path]:
        """Versions that the registry does not have yet, oldest first."""
        return waiting_versions(self.run_dir)

    def close(self) -> None:
        """Publish what is newest and stop. What MLflow does not take stays for the next start."""
        self.stopping.set()
        self.thread.join()
        self._attempt()
        if self.waiting:
            log.warning(
                "%d version(s) are not registered and wait in %s; starting the same run again "
                "registers them",
                len(self.waiting),
                self.run_dir / "versions",
            )

    def _run(self) -> None:
        due = 0.0
        while not self.stopping.wait(POLL_SECONDS):
            if time.monotonic() >= due or self.published is None:
                self._attempt()
                due = time.monotonic() + 60 * self.tracking.register_every_minutes

    def _attempt(self) -> None:
        try:
            self._make()
            for directory in self.waiting:
                self._publish_or_drop(directory)
        except (MlflowError, OSError, ValueError) as error:
            if not self.troubled:
                log.warning("versions are registered later, in order: %s", error)
            self.troubled = True

    def _make(self) -> None:
        """Turn the newest checkpoint into a waiting version, unless that was done."""
        latest = read_latest(self.run_dir)
        if latest is None or latest == self.made:
            return
        out = self.run_dir / "versions" / f"window-{latest.window:08d}"
        try:
            version_from_checkpoint(
                self.run_dir / latest.checkpoint, self.config, self.history, out
            )
        except FileNotFoundError:
            log.info("checkpoint %s is gone; a newer one will be published", latest.checkpoint)
            return
        except (ValueError, SafetensorError) as error:
            log.warning("checkpoint %s is not published: %s", latest.checkpoint, error)
        self.made = latest
        for oldest in self.waiting[:-MAX_WAITING]:
            log.warning("%s is dropped unregistered: %d wait already", oldest, MAX_WAITING)
            shutil.rmtree(oldest)

    def _publish_or_drop(self, directory: Path) -> None:
        """A damaged version must not stand in the way of those behind it."""
        try:
            self._publish(directory)
        except ValueError as error:
            log.warning("%s is dropped unregistered: %s", directory, error)
            shutil.rmtree(directory)

    def _publish(self, directory: Path) -> None:
        tracking = self.tracking
        tags = self.tags | {"easq.window": str(int(directory.name.removeprefix("window-")))}
        alias = CANDIDATE if tracking.gate else CHAMPION
        self.published = publish(
            tracking.uri, tracking.model_name, directory, self.run_id, tags, alias
        )
        shutil.rmtree(directory)
        log.info("version %d of %s is registered", self.published.version, tracking.model_name)
        if self.troubled:
            log.warning("MLflow takes versions again")
        self.troubled = False
