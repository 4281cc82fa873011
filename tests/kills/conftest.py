"""A loop with viewers before it, whose processes can be killed one by one."""

import os
import signal
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest

from easq.freshness import learnt
from easq.history import History
from easq.log.connect import open_log
from easq.log.interface import MODELS, SAMPLES, Log, Rows
from easq.simulate.generate import write_simulation
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.train.config import TrainConfig, load_config
from easq.train.run_folder import run_folder
from easq.train.turn import last_turn
from jobs.living import SERVING, wake
from jobs.loop import Loop, wait_until_ready
from jobs.loop_parts import DRIVERS, LoopSettings

from ..soak.two_nodes import kafka

PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.1
STEADY_SECONDS, IDLE_CORES = 5.0, 0.05
TICKS = os.sysconf("SC_CLK_TCK")
SMOOTH_SECONDS = 3.0
WORKER = b"ray::RayTrainWorker"
VICTIMS = {
    "joiner": ("join", b""),
    "driver": ("train", b""),
    "worker": ("ray", WORKER),
    "all workers": ("ray", WORKER),
    "frozen worker": ("ray", WORKER),
    "frozen reader": ("ray", b"ray::ReadPassSource"),
    "train controller": ("ray", b"ray::TrainController"),
    "cluster": ("ray", b""),
    "replica": ("serving", b"ray::ServeReplica"),
    "controller": ("serving", b"ray::ServeController"),
    "service": ("serving", b""),
}
"""The part, and how the title of its process begins; none: the part's own process."""

CONFIG = """
[run]
name = "run"
storage = "{folder}/runs"

[data]
history = "{folder}/history"
window = 512

[model]
width = 32

[stream]
log = "{log}"
checkpoint_windows = {checkpoint_windows}
pass_windows = {pass_windows}

[workers]
num = {workers}
spares = {spares}
max_failures = -1
hang_seconds = {hang_seconds}

[tracking]
uri = "sqlite:///{folder}/mlflow.db"
register_every_minutes = {register_every_minutes}
gate = {gate}
{more}
"""


FAST = {
    "checkpoint_windows": 10,
    "pass_windows": 20,
    "register_every_minutes": 0.5,
    "hang_seconds": 300,
    "gate": "false",
    "more": "",
}
"""What comes round a few times in a drill of minutes."""


class Process(NamedTuple):
    """A process id is given again; with the time of its start it is not."""

    pid: int
    started: int  # clock ticks since the machine's start

    def is_alive(self) -> bool:
        return (stat := _stat(self.pid)) is not None and stat.started == self.started


class Stat(NamedTuple):
    parent: int
    started: int
    is_dead: bool  # and waits for its parent to ask
    used: int  # clock ticks of CPU


def _stat(pid: int) -> Stat | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    used = int(fields[11]) + int(fields[12])
    stat = Stat(int(fields[1]), int(fields[19]), fields[0] in "ZX", used)
    return None if stat.is_dead else stat


def family(pid: int) -> dict[Process, bytes]:
    """A process and all that stem from it, with their command lines."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*"):
        if (stat := _stat(int(path.name))) is not None:
            stats[int(path.name)] = stat
    found, new = set(), {pid} & stats.keys()
    while new:
        found |= new
        new = {p for p, stat in stats.items() if stat.parent in found} - found
    return {Process(p, stats[p].started): _command(p) for p in found}


def _working(processes: list[Process]) -> list[Process]:
    """Those that train, not the group that stands by: it hardly uses the CPU."""
    before = [_used(p) for p in processes]
    time.sleep(1)
    used = [_used(p) - b for p, b in zip(processes, before, strict=True)]
    return [p for p, ticks in zip(processes, used, strict=True) if 2 * ticks > max(used)]


def _chosen(kind: str, found: list[Process], choice: int) -> list[Process]:
    """The oldest controller is that of the driver that trains: others began later, to wait."""
    if kind == "all workers":
        return found
    return [found[0 if kind == "train controller" else choice % len(found)]]


def _used(process: Process) -> int:
    return stat.used if (stat := _stat(process.pid)) is not None else 0


def resident_mb(pid: int) -> float:
    """Of its own: without the files and the shared memory that it has mapped."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1e3


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Lag:
    """How old the newest event time is that has been learnt: what joiner and trainer owe."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.offsets, self.sealed_ms = list[int](), list[int]()
        self.models_from, self.learnt_below = 0, 0
        self.times, self.seconds = list[float](), list[float]()

    def look(self) -> None:
        """Note the lag of now."""
        while rows := self._new(SAMPLES, self.offsets[-1] + 1 if self.offsets else 0):
            self.offsets += rows.offsets.tolist()
            self.sealed_ms += rows.table.column("sealed_at_ms").to_pylist()
        while rows := self._new(MODELS, self.models_from):
            self.models_from = int(rows.offsets[-1]) + 1
            for delta in learnt(rows.offsets, rows.table):
                self.learnt_below = max(self.learnt_below, delta.offsets.get(0, 0))
        self.times.append(time.time())
        self.seconds.append(self.times[-1] - self.frontier)

    def _new(self, topic: str, start: int) -> Rows | None:
        return self.log.read(topic, 0, start) if self.log.end(topic, 0) > start else None

    @property
    def frontier(self) -> float:
        """Everything that was sealed up to this event time, in Unix seconds, has been learnt."""
        below = bisect_left(self.offsets, self.learnt_below)
        return self.sealed_ms[below - 1] / 1000 if below else 0.0

    def between(self, start: float, end: float) -> np.ndarray:
        times = np.array(self.times)
        return np.array(self.seconds)[(times >= start) & (times < end)]

    def first_beyond(self, seconds: float, since: float) -> float:
        """When the lag was first longer, in Unix seconds. Raises StopIteration: it never was."""
        looks = zip(self.times, self.seconds, strict=True)
        return next(at for at, lag in looks if at >= since and lag > seconds)

    def is_usual(self, usual: float) -> bool:
        """Over the last seconds; the lag of a single moment swings with each window."""
        now = self.times[-1]
        return float(np.median(self.between(now - SMOOTH_SECONDS, now + 1))) <= usual

    def recovery(self, start: float, end: float, usual: float) -> float:
        """Seconds after `start` at which the lag was last unusual; 0: it never was."""
        last = 0.0
        for at in np.arange(start + SMOOTH_SECONDS, end, 0.25):
            before = self.between(at - SMOOTH_SECONDS, at)
            if len(before) and np.median(before) > usual:
                last = float(at - start)
        return last


class Stage:
    """A loop that runs, and what is seen of it."""

    def __init__(self, loop: Loop, history: History) -> None:
        self.loop, self.history = loop, history
        self.lag = Lag(open_log(loop.log))
        self.told = list[tuple[float, str]]()
        """What the loop has said, and when."""
        self.known: set[Process] = set()
        """All processes of the loop that have been seen."""

    def look(self) -> None:
        self.told += [(time.time(), sentence) for sentence in self.loop.look()]
        self.lag.look()

    def wait_until(self, fact: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not fact():
            self.look()
            assert time.monotonic() < deadline, f"not within {seconds} s; see {self.loop.folder}"
            time.sleep(LOOK_SECONDS)

    def victims(self, kind: str) -> list[Process]:
        """Processes of a kind, oldest first."""
        name, title = VICTIMS[kind]
        pid = self._driver() if kind == "driver" else self.loop.supervisor.report()[name]["pid"]
        if not isinstance(pid, int):
            return []
        processes = family(pid)
        self.known |= processes.keys()
        if not title:
            return [p for p in processes if p.pid == pid]
        found = sorted(p for p, command in processes.items() if command.startswith(title))
        return _working(found) if title == WORKER else found

    def _driver(self) -> object:
        """Process id of the driver that trains; None while it does not run."""
        parts = self.loop.supervisor.report()
        running = [part["pid"] for name, part in parts.items() if name in DRIVERS]
        return pid if (pid := last_turn(run_folder(self.loop.config))) in running else None

    def kill(self, kind: str, choice: int) -> float:
        """Kill -9 one of a kind, or all, as soon as there is one, or stop it; returns when."""
        self.wait_until(lambda: self.victims(kind))
        driver = self._driver()
        for victim in _chosen(kind, self.victims(kind), choice):
            os.kill(victim.pid, signal.SIGSTOP if kind.startswith("frozen") else signal.SIGKILL)
        at = time.time()
        if kind == "train controller":
            self.wait_until(lambda: self._driver() not in (None, driver))
        return at

    def stands_by(self) -> bool:
        """Whether the drivers that wait are prepared, and neither they nor their workers work."""
        ray, *drivers = (self.loop.supervisor.report()[name]["pid"] for name in ("ray", *DRIVERS))
        waiting = {pid for pid in drivers if isinstance(pid, int)} - {self._driver()}
        if not isinstance(ray, int) or len(waiting) != len(DRIVERS) - 1:
            return False
        workers = [p for p, command in family(ray).items() if command.startswith(WORKER)]
        if len(workers) != 2 * self.loop.config.workers.num:
            return False
        watched = [p for pid in waiting for p in family(pid)] + workers
        before = {p: _used(p) for p in watched}
        time.sleep(STEADY_SECONDS)
        used = {p: _used(p) - before[p] for p in watched}
        for busiest in sorted(workers, key=used.__getitem__)[self.loop.config.workers.num :]:
            del used[busiest]  # they train
        return sum(used.values()) < IDLE_CORES * len(used) * STEADY_SECONDS * TICKS

    def left_over(self) -> list[tuple[Process, bytes]]:
        return [(p, _command(p.pid)) for p in self.known if p.is_alive()]


Engine = Literal["sqlite", "kafka"]
LOGS: dict[Engine, Callable[[Path], AbstractContextManager[str]]] = {
    "sqlite": lambda folder: nullcontext(f"sqlite:///{folder}/log.db"),
    "kafka": lambda folder: kafka(folder, partitions=1),
}
"""The address of a new log."""
OpenStage = Callable[..., AbstractContextManager[Stage]]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[OpenStage]:
    """stage(requests, workers, feedback_seconds, engine): a loop that has learnt from viewers.

    Its log outlives it. Further settings are those of FAST; `serving` are the service's.
    """

    @contextmanager
    def open_stage(
        requests: int,
        workers: int,
        feedback_seconds: float,
        engine: Engine = "sqlite",
        serving: Mapping[str, str] = {},
        **changes: object,
    ) -> Iterator[Stage]:
        history = _history(tmp_path / "history", requests)
        log = logs.enter_context(LOGS[engine](tmp_path))
        values = {"workers": workers, "spares": workers + 1, "log": log}
        config = _config(tmp_path, **(FAST | values | changes))
        settings = LoopSettings(
            replicas=2,
            feedback_seconds=feedback_seconds,
            standby=True,
            serving=SERVING | dict(serving),
        )
        loop = Loop(config, tmp_path / "loop.toml", tmp_path, settings)
        try:
            loop.start()
            wait_until_ready(loop, PATIENCE_SECONDS)
            wake(loop, history)
            yield Stage(loop, history)
        finally:
            loop.stop()

    with ExitStack() as logs:
        yield open_stage


def _history(folder: Path, requests: int) -> History:
    world, traffic = WorldConfig(users=200, items=400), TrafficConfig(requests=requests)
    return write_simulation(folder, SimulationConfig(world=world, traffic=traffic))


def _config(folder: Path, **values: object) -> TrainConfig:
    path = folder / "loop.toml"
    path.write_text(CONFIG.format(folder=folder, **values))
    return load_config(path)
