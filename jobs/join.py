"""Join the log's events into samples, window by window, until told to stop.

Usage: easq join sqlite:////absolute/log.db [--status FILE]
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from easq.join import JoinConfig
from easq.join_log import JoinedPartition
from easq.join_loop import keep_trimmed, now_ms, run_join
from easq.log.connect import SQLITE, open_log
from easq.log.interface import EVENTS, LogError
from easq.log.lease import lease
from easq.log.patient import PatientLog
from easq.train.position import needed_from
from jobs.problems import sentence

DEFAULTS = JoinConfig()
STATUS_SECONDS = 1.0
DAY_SECONDS = 86_400


def join(
    log: Annotated[str, typer.Argument(help="Its address: sqlite:////absolute/log.db")],
    partitions: Annotated[int, typer.Option(min=1, help="How many the log has.")] = 1,
    partition: Annotated[
        list[int], typer.Option(help="Join only this one. Repeatable; one joiner each.")
    ] = [],  # noqa: B006
    status: Annotated[
        Path | None, typer.Option(help="A JSON file: how far it is; new each second.")
    ] = None,
    feedback_seconds: Annotated[
        float, typer.Option(help="How long behaviour is waited for.")
    ] = DEFAULTS.feedback_seconds,
    token_seconds: Annotated[
        float, typer.Option(help="A request is kept so long, or as long as its token.")
    ] = DEFAULTS.token_seconds,
    window_seconds: Annotated[
        float, typer.Option(help="A window is sealed so long after its first row.")
    ] = DEFAULTS.window_seconds,
    window_requests: Annotated[
        int, typer.Option(help="A window has so many rows at most.")
    ] = DEFAULTS.window_requests,
    retention_days: Annotated[float, typer.Option(help="Older rows are forgotten.")] = 3.0,
    keep_for: Annotated[
        list[Path],
        typer.Option(help="A run's folder: samples it has yet to learn are kept. Repeatable."),
    ] = [],  # noqa: B006
    poll_seconds: Annotated[float, typer.Option(help="How often to look for events.")] = 0.02,
) -> None:
    """Turn impressions, behaviours and answers into samples for the trainer."""
    config = JoinConfig(
        feedback_seconds=feedback_seconds,
        token_seconds=token_seconds,
        window_seconds=window_seconds,
        window_requests=window_requests,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        engine = PatientLog(open_log(log, partitions), stop.wait)
        mine = partition or list(range(engine.partitions(EVENTS)))
        report = StatusFile(status)
        with sole_writer(log, mine):
            joined = [JoinedPartition(engine, p, config) for p in mine]
            report.write(joined)
            old = retention_days * DAY_SECONDS
            _beside(lambda: keep_trimmed(joined, stop.wait, old, partial(needed, keep_for)))
            run_join(joined, stop.wait, poll_seconds, report.update)
            report.write(joined)
    except (LogError, ValueError, OSError) as error:
        if not (stop.is_set() and isinstance(error, LogError)):
            Console(stderr=True, soft_wrap=True, markup=False).print(sentence(error))
            raise typer.Exit(2) from error


def needed(runs: list[Path], partition: int) -> float:
    """The first offset of `samples` that one of the runs may still read."""
    return min((needed_from(run, partition) for run in runs), default=math.inf)


def _beside(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="retention", daemon=True).start()


@contextmanager
def sole_writer(log: str, partitions: list[int]) -> Iterator[None]:
    """No other joiner of this machine writes these partitions; on Kafka, that is up to you."""
    with ExitStack() as leases:
        if log.startswith(SQLITE):
            for p in partitions:
                leases.enter_context(lease(Path(f"{log.removeprefix(SQLITE)}.join-{p}.lock")))
        yield


class StatusFile:
    """Tells other processes how far the joiner is."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._next = 0.0

    def update(self, joined: list[JoinedPartition]) -> None:
        """Write, if it is a second since the last time."""
        if time.monotonic() >= self._next:
            self.write(joined)

    def write(self, joined: list[JoinedPartition]) -> None:
        self._next = time.monotonic() + STATUS_SECONDS
        if self.path is not None:
            partitions = {str(p.partition): status_of(p) for p in joined}
            body = {"pid": os.getpid(), "written_at_ms": now_ms(), "partitions": partitions}
            fresh = self.path.with_name(f"{self.path.name}.new")
            fresh.write_text(json.dumps(body, indent=2))
            fresh.replace(self.path)


def status_of(partition: JoinedPartition) -> dict[str, Any]:
    """What is known of a partition. The counts are since this process began."""
    joiner, end = partition.joiner, partition.log.end(EVENTS, partition.partition)
    is_behind = end > partition.next and joiner.watermark_ms
    return {
        "next_offset": partition.next,
        "end_offset": end,
        "lag_ms": now_ms() - joiner.watermark_ms if is_behind else 0,
        "watermark_ms": joiner.watermark_ms,
        "next_window": joiner.sealer.window,
        "unsealed_rows": len(joiner.sealer.rows),
        "open_requests": joiner.requests.num_open,
        "kept_requests": len(joiner.requests.of),
        "resume_offset": partition.kept_from,
        "counts": dict(sorted(joiner.counts.items())),
    }


if __name__ == "__main__":
    typer.run(join)
