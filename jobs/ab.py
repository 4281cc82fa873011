"""The online test of the paper (EASQ §5.3, Table 2) with simulated users: EASQ against EMER.

Both lines learn from everybody's feedback; users are served by the line of their arm, come back
or stay away by what they truly think, and are counted on their own side.

Usage: easq ab [--same] [--in-process [--worlds N]] [--users N] [--share 0.5] [--out DIR]
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from easq.experiment.assignment import Arm, Experiment
from easq.experiment.lived import Lived
from easq.simulate.answers import Pace
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.study.plan import Plan
from jobs.ab_loop import OTHER, Test, live_over_http, own_line
from jobs.ab_outcome import CONTROL, TREATMENT, told
from jobs.ab_worlds import LIVED, lived_in_process
from jobs.sole_loop import LOCK, sole_loop
from jobs.study_output import Tracking

DAYS = 7
LOG = "log.db"
"""Of the loop of a test over HTTP."""
FEW_USERS, FEW_REQUESTS = 700, 8_000
"""Of the test that is part of all evidence."""


def ab(
    out: Annotated[
        Path, typer.Option(help="For all that is kept: a new folder, in process the same goes on.")
    ] = Path(".easq/ab"),
    in_process: Annotated[
        bool, typer.Option(help="Without the platform's processes: the same users, much faster.")
    ] = False,
    worlds: Annotated[
        int, typer.Option(min=1, help="In process only: tests in worlds of the seeds from SEED on.")
    ] = 1,
    same: Annotated[
        bool, typer.Option(help="A/A: one line for both arms, divided by 20 salts too.")
    ] = False,
    users: Annotated[int, typer.Option(min=4, help="Of the simulated world.")] = 2_000,
    requests: Annotated[int, typer.Option(min=1, help="Learnt before the test.")] = FEW_REQUESTS,
    days: Annotated[int, typer.Option(min=1, help="Simulated days of the test.")] = DAYS,
    share: Annotated[
        float, typer.Option(min=0, max=0.5, help="Of the users in each arm (EASQ §5.3: 0.051).")
    ] = 0.5,
    seed: Annotated[int, typer.Option(help="Of the world, and of who is in which arm.")] = 7,
    questionnaire: Annotated[
        Pace, typer.Option(help="Of the world's own days; over HTTP the service asks more.")
    ] = "accelerated",
    tracking: Tracking = None,
) -> None:
    """Run the test, and print Table 2 with intervals."""
    if worlds > 1 and not in_process:
        raise ValueError("several worlds are for --in-process; over HTTP, run one after the other")
    console = Console(soft_wrap=True, markup=False)
    config = SimulationConfig(
        world=WorldConfig(users=users),
        traffic=TrafficConfig(requests=requests),
        questionnaire=questionnaire,
    )
    tests = [_test(config, world, share, days, same) for world in range(seed, seed + worlds)]
    folder = out.resolve()
    if in_process:
        lived, service = _in_process(tests, folder, console), "in process"
    else:
        lived, service = [_over_http(tests[0], folder, console)], "over HTTP"
    told(tests, lived, service, console, folder, tracking)


def _in_process(tests: Sequence[Test], folder: Path, console: Console) -> list[Lived]:
    if (folder / LOG).exists():
        raise ValueError(f"{folder} holds a test over HTTP; name another folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    return lived_in_process(tests, folder, console.print)


def _over_http(test: Test, folder: Path, console: Console) -> Lived:
    _check_new(folder)
    with sole_loop(own_line(folder), folder) as held:
        _check_new(folder)  # one that was waited for may have used it
        lived = live_over_http(test, folder, console.print, held)
    lived.write(folder / LIVED)
    return lived


def ab_tested(
    plan: Plan, out: Path, console: Console, address: str | None, tracking: str | None
) -> Path:
    """EASQ against EMER in process, in the plan's first world with at most `FEW_USERS`; a minute.

    Answers come at the pace `accelerated`, as too few viewers would answer at the paper's.
    """
    console.rule("ab")
    simulation = plan.simulation
    requests = min(simulation.traffic.requests, FEW_REQUESTS)
    users = min(simulation.world.users, FEW_USERS)
    config = simulation.model_copy(
        update={
            "world": simulation.world.model_copy(update={"users": users}),
            "traffic": simulation.traffic.model_copy(update={"requests": requests}),
            "questionnaire": "accelerated",
        }
    )
    tests = [_test(config, plan.worlds[0], 0.5, DAYS, same=False)]
    lived = lived_in_process(tests, out, console.print)
    return told(tests, lived, "in process", console, out, tracking)


def _test(config: SimulationConfig, world: int, share: float, days: int, same: bool) -> Test:
    seeded = config.model_copy(update={"seed": world})
    return Test(seeded, experiment_of(share, world, same), days)


def experiment_of(share: float, seed: int, same: bool) -> Experiment:
    """The treatment is the service's own line, the control EMER, or for an A/A the same."""
    control = Arm(name=CONTROL, share=share, model=None if same else OTHER)
    return Experiment(
        name="a-a" if same else "easq-against-emer",
        salt=f"ab-{seed}",
        arms=(control, Arm(name=TREATMENT, share=share)),
    )


def _check_new(folder: Path) -> None:
    """Runs are resumed by name, and a test that is resumed would begin with what it taught."""
    if any(path.is_file() and path.suffix != LOCK for path in folder.rglob("*")):
        raise ValueError(f"{folder} holds another test; name a new folder with --out")
