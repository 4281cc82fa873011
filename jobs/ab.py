"""The online test of the paper (EASQ §5.3, Table 2) with simulated users: EASQ against EMER.

Both lines learn from everybody's feedback; users are served by the line of their arm, come back
or stay away by what they truly think, and are counted on their own side.

Usage: easq ab [--same] [--in-process] [--users N] [--share 0.5] [--out DIR]
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from easq.experiment.assignment import Arm, Experiment
from easq.experiment.false_positives import false_positives
from easq.experiment.table2 import UserSums, compare
from easq.simulate.answers import Pace
from easq.simulate.simulation import SimulationConfig
from easq.simulate.traffic import TrafficConfig
from easq.simulate.world import WorldConfig
from easq.study.plan import Plan
from easq.study.report import SIMULATED, Origin
from jobs.ab_loop import OTHER, Test, live_in_process, live_over_http, own_line
from jobs.ab_report import differences_table, false_positives_table, findings, ratio_sentences
from jobs.sole_loop import LOCK, sole_loop
from jobs.study_output import Tracking, written

CONTROL, TREATMENT = "control", "treatment"
DAYS = 7
FEW_USERS, FEW_REQUESTS = 700, 8_000
"""Of the test that is part of all evidence."""
ASKED = (
    "Simulated users were divided by a salted hash and served by the model line of their arm; "
    "every line learnt from everybody's feedback. They leave and return by true satisfaction. "
    "What does the treatment change?"
)


def ab(
    out: Annotated[Path, typer.Option(help="New folder for all that the run keeps.")] = Path(
        ".easq/ab"
    ),
    in_process: Annotated[
        bool, typer.Option(help="Without the platform's processes: the same users, much faster.")
    ] = False,
    same: Annotated[
        bool, typer.Option(help="A/A: one line for both arms, judged with 20 salts too.")
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
    console = Console(soft_wrap=True, markup=False)
    config = SimulationConfig(
        seed=seed,
        world=WorldConfig(users=users),
        traffic=TrafficConfig(requests=requests),
        questionnaire=questionnaire,
    )
    test = Test(config, experiment_of(share, seed, same), days)
    folder = out.resolve()
    _check_new(folder)
    if in_process:
        folder.mkdir(parents=True, exist_ok=True)
        sums = live_in_process(test, console.print)
    else:
        with sole_loop(own_line(folder), folder) as held:
            _check_new(folder)  # one that was waited for may have used it
            sums = live_over_http(test, folder, console.print, held)
    service = "in process" if in_process else "over HTTP"
    _told(test, sums, service, console, folder, tracking)


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
            "seed": plan.worlds[0],
            "world": simulation.world.model_copy(update={"users": users}),
            "traffic": simulation.traffic.model_copy(update={"requests": requests}),
            "questionnaire": "accelerated",
        }
    )
    test = Test(config, experiment_of(0.5, config.seed, same=False), DAYS)
    sums = live_in_process(test, console.print)
    return _told(test, sums, "in process", console, out, tracking)


def _told(
    test: Test, sums: UserSums, service: str, console: Console, out: Path, tracking: str | None
) -> Path:
    """Print Table 2 and write its page; an A/A test is divided by many salts too."""
    same, experiment = len(test.lines) == 1, test.experiment
    ids = np.arange(test.config.world.users)
    found = compare(sums, experiment.arms_of(ids), experiment, TREATMENT, CONTROL)
    title = "A/A test" if same else "EASQ against EMER"
    console.print(differences_table(found, title))
    for sentence in ratio_sentences(found):
        console.print(sentence)
    salted = false_positives(sums, ids, experiment) if same else None
    if salted is not None:
        console.print(false_positives_table(salted))
    shown = findings(found, title, ASKED, salted)
    page = written("ab", _origin(test, service), shown, out, tracking)
    console.print(f"page: {page}")
    return page


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


def _origin(test: Test, service: str) -> Origin:
    settings = {
        "users": f"{test.config.world.users}",
        "days": f"{test.days}",
        "share": f"{test.experiment.arms[0].share:g}",
        "seed": f"{test.config.seed}",
        "requests before": f"{test.config.traffic.requests}",
        "questionnaire": test.config.questionnaire,
        "service": service,
    }
    return Origin(settings, {"settings": settings}, [SIMULATED])
