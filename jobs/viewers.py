"""Simulated viewers for a running service: they rank, watch, press and answer over HTTP.

Usage: easq viewers URL --history DIR [--rate N] [--seconds N] [--ledger FILE]
"""

import os
import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.console import Console

from easq.history import History
from easq.ledger import Ledger
from easq.simulate.live import Audience, config_of, day_shift_ms
from jobs.replica_report import replica_report, stopped_somewhere
from jobs.viewer_sessions import Viewers
from jobs.viewer_statistics import ViewingStatistics
from jobs.viewing_plan import ViewingPlan


def run_viewers(
    url: str, history: History, plan: ViewingPlan, ledger: Ledger | None = None, seed: int = 0
) -> Viewers:
    """Viewers of a history's world; a context, in which they live.

    Their clock is the machine's, moved by whole days to where the history ends.
    """
    config = config_of(history)
    audience = Audience(config, run=secrets.token_hex(4), seed=seed)
    shift = day_shift_ms(config.traffic, time.time_ns() // 1_000_000)
    return Viewers(url, audience, plan.model_copy(update={"time_shift_ms": shift}), ledger)


def viewers(
    url: Annotated[str, typer.Argument(help="Of the ranking service.")],
    history: Annotated[
        Path, typer.Option(help="Simulated samples, in whose world they live.")
    ] = Path(".easq/simulated"),
    rate: Annotated[float, typer.Option(min=0, help="Requests a second; 0: all they can.")] = 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long they ask.")] = 60,
    number: Annotated[int, typer.Option("--viewers", min=1, help="Requests at once.")] = 16,
    speed: Annotated[
        float,
        typer.Option(min=0.001, help="Seconds watched in a second (EASQ_VIEWING_SPEED there)."),
    ] = 1,
    feedback: Annotated[bool, typer.Option(help="Send what they did and answered.")] = True,
    ledger: Annotated[
        Path | None, typer.Option(help="New file for rankings and accepted events.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same requests.")] = 0,
) -> None:
    """Let simulated viewers use a running service, and print what they see of it."""
    key = os.environ.get("EASQ_API_KEY")
    plan = ViewingPlan(
        seconds=seconds,
        rate=rate or None,
        viewers=number,
        speed=speed,
        feedback=feedback,
        api_key=None if key is None else SecretStr(key),
    )
    console = Console(soft_wrap=True, markup=False, highlight=False)
    with ExitStack() as stack:
        book = None if ledger is None else stack.enter_context(Ledger(ledger))
        crowd = stack.enter_context(run_viewers(url, History.open(history), plan, book, seed))
        _follow(console, crowd, url)


def _follow(console: Console, crowd: Viewers, url: str) -> None:
    told, lane = 0, None
    try:
        while not crowd.wait(seconds=0.5):
            statistics = crowd.statistics()
            if len(statistics.buckets) > told:
                lane = print_lane(console, url, lane)
            told = _print_buckets(console, statistics, told)
    except KeyboardInterrupt:
        console.print("stopped")
    _print_buckets(console, crowd.statistics(), told)
    console.print("\n".join(summary(crowd.statistics())))


def print_lane(console: Console, url: str, told: str | None) -> str | None:
    """Say it when the lane is stopped and when it goes on; returns why it is stopped."""
    if replica_report(url) is None:
        return told
    if (stopped := stopped_somewhere(url)) != told:
        console.print(stopped or "deltas are served again")
    return stopped


def _print_buckets(console: Console, statistics: ViewingStatistics, told: int) -> int:
    """One line a bucket that is new; returns how many there are."""
    for start, judged in statistics.buckets[told:]:
        console.print(
            f"{start:5.0f} s  {judged.requests} rankings, NDCG@5 {judged.ndcg:.3f} "
            f"(at best {judged.best_ndcg:.3f}), z {judged.z:+.2f}; version "
            f"{statistics.version} seq {statistics.seq}; {_failures(statistics)}"
        )
    return len(statistics.buckets)


def _failures(statistics: ViewingStatistics) -> str:
    return f"{sum(statistics.failed.values())} failed, {statistics.refused} refused"


def summary(statistics: ViewingStatistics) -> list[str]:
    """The whole run in a few lines."""
    s = statistics
    return [
        f"{s.requests} rankings, p50 {s.p50_ms:.1f} ms, p99 {s.p99_ms:.1f} ms, {_failures(s)} "
        f"{s.failed or ''}; at most {s.behind_seconds:.2f} s late",
        f"versions {s.versions}, last seq {s.seq}, {s.without_token} without a token",
        f"{s.questions} questions, {s.answers} answers; events accepted {s.accepted}, "
        f"rejected {s.rejected}, {s.retries} batches sent again, {s.unconfirmed} unconfirmed",
    ]
