"""The living loop: viewers use the service while it learns from them, for all to see."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from easq.freshness_read import answers_freshness
from easq.history import History
from easq.ledger import AcceptedLine, Ledger, Verdict, read_ledger, read_progress, verdict
from easq.log.connect import open_log
from easq.log.interface import MODELS, SAMPLES
from jobs.loop import Loop
from jobs.replica_report import stopped_somewhere
from jobs.viewer_statistics import ViewingStatistics
from jobs.viewers import run_viewers
from jobs.viewing_plan import ViewingPlan

SPEED = 1000.0
"""Seconds that viewers watch in a second."""
FEEDBACK_SECONDS = 10.0
"""Long enough for a busy machine: behaviour that comes later is not learnt."""
SERVING = {
    "viewing_speed": str(SPEED),
    "ask_share": "0.125",
    "ask_cooldown_seconds": "0",
    "ask_per_day": "100000",
    "events_per_minute": "100000",
    "poll_seconds": "1",
}
"""Settings of a service whose viewers live fast: a day of questions in a minute."""
LOOK_SECONDS = 0.5
SETTLE_SECONDS, WAKE_SECONDS = 60.0, 180.0


def wake(loop: Loop, history: History) -> None:
    """Let a few viewers in until the first window of the log has been learnt and announced.

    Raises RuntimeError when that takes too long.
    """
    log = open_log(loop.log)
    deadline = time.monotonic() + WAKE_SECONDS
    plan = ViewingPlan(seconds=WAKE_SECONDS, rate=2, speed=SPEED)
    with run_viewers(loop.url, history, plan, seed=1) as crowd:
        while not log.end(MODELS, 0):
            loop.look()
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"nothing was learnt from the log in {WAKE_SECONDS:.0f} s; see {loop.folder}"
                )
            time.sleep(LOOK_SECONDS)
        crowd.stop()


def live(
    console: Console, loop: Loop, history: History, seconds: float, rate: float
) -> tuple[ViewingStatistics, Path]:
    """Viewers for some seconds, with a display; returns what they saw, and their ledger."""
    path = loop.folder / "viewers.jsonl"
    path.unlink(missing_ok=True)
    plan = ViewingPlan(seconds=seconds, rate=rate, speed=SPEED)
    with Ledger(path) as ledger, run_viewers(loop.url, history, plan, ledger) as crowd:
        with _display(console) as show:
            while not crowd.wait(LOOK_SECONDS):
                for sentence in loop.look():
                    console.print(sentence)
                show(crowd.statistics(), stopped_somewhere(loop.url))
            show(crowd.statistics(), stopped_somewhere(loop.url))
    return crowd.statistics(), path


@contextmanager
def _display(console: Console) -> Iterator:
    """A table that is redrawn where somebody watches; elsewhere a line for each new bucket."""
    if not console.is_terminal:
        told = 0

        def say(statistics: ViewingStatistics, stopped: str | None) -> None:
            nonlocal told
            for bucket in statistics.buckets[told:]:
                line = _line(bucket.start_seconds, statistics, bucket.satisfaction.ndcg)
                console.print(line if stopped is None else f"{line}; {stopped}")
            told = len(statistics.buckets)

        yield say
        return
    with Live(console=console) as screen:
        yield lambda statistics, stopped: screen.update(_picture(statistics, stopped))


def _line(start: float, statistics: ViewingStatistics, ndcg: float) -> str:
    s = statistics
    return (
        f"{start:4.0f} s  satisfaction of what is shown, NDCG@5 {ndcg:.3f}; version {s.version} "
        f"seq {s.seq}; {s.requests} rankings, {s.not_ranked} refused or failed; "
        f"{s.accepted.get('answer', 0)} answers taken"
    )


def _picture(statistics: ViewingStatistics, stopped: str | None) -> Table:
    s = statistics
    table = Table("", "now", title="the living loop")
    bars = " ".join(f"{b.satisfaction.ndcg:.2f}" for b in s.buckets[-10:])
    table.add_row("satisfaction of what is shown, NDCG@5", bars)
    table.add_row("version, seq", f"{s.version}, {s.seq}")
    if stopped is not None:
        table.add_row("fast lane", stopped)
    failed = sum(s.failed.values())
    table.add_row("rankings, refused, failed", f"{s.requests}, {s.refused}, {failed}")
    table.add_row("p50, p99", f"{s.p50_ms:.1f} ms, {s.p99_ms:.1f} ms")
    table.add_row("questions, answers taken", f"{s.questions}, {s.accepted.get('answer', 0)}")
    return table


def settled(loop: Loop, ledger: Path) -> Verdict:
    """What became of the accepted events, once the joiner has had its time with the last ones."""
    log = open_log(loop.log)
    accepted = [x.event_id for x in read_ledger(ledger) if isinstance(x, AcceptedLine)]
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        parts = [read_progress(log, p) for p in range(log.partitions(SAMPLES))]
        found = verdict(accepted, parts)
        if not found.open or time.monotonic() > deadline:
            return found
        time.sleep(LOOK_SECONDS)


def living_report(loop: Loop, statistics: ViewingStatistics, ledger: Path, fate: Verdict) -> Table:
    """The session in a table."""
    s = statistics
    fresh = np.array(list(answers_freshness(ledger, open_log(loop.log)).values()))
    table = Table("", "seen", title="The loop, as its viewers saw it")
    failed = f"{sum(s.failed.values())} {s.failed or ''}"
    table.add_row("rankings, refused, failed", f"{s.requests:,}, {s.refused}, {failed}")
    table.add_row("ranking over HTTP, p50 / p99", f"{s.p50_ms:.1f} / {s.p99_ms:.1f} ms")
    table.add_row("versions; last delta", f"{s.versions}; {s.seq}")
    table.add_row("events taken", f"{sum(s.accepted.values()):,} {s.accepted}")
    table.add_row("in the samples once", f"{fate.once:,}")
    table.add_row(
        "lost, twice, undecided", f"{len(fate.lost)}, {len(fate.twice)}, {len(fate.open)}"
    )
    if (stopped := stopped_somewhere(loop.url)) is not None:
        table.add_row("fast lane", stopped)
    if len(fresh):
        p50, p95 = np.quantile(fresh, (0.5, 0.95))
        table.add_row(
            "freshness: answer taken to ranking that used it",
            f"p50 {p50:.2f} s, p95 {p95:.2f} s ({len(fresh)} of {s.accepted['answer']} answers)",
        )
    weights = [b.satisfaction.requests for b in s.buckets]
    ndcg, best = (
        np.average([getattr(b.satisfaction, name) for b in s.buckets], weights=weights)
        for name in ("ndcg", "best_ndcg")
    )
    table.add_row("NDCG@5 of true satisfaction, shown / at best", f"{ndcg:.3f} / {best:.3f}")
    table.add_row("restarts", str({n: p["restarts"] for n, p in _parts(loop).items()}))
    return table


def _parts(loop: Loop) -> dict[str, dict[str, object]]:
    return loop.supervisor.report()
