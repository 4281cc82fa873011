"""Compare EASQ and EMER with ordinary rankers on a real log, most likes and hates hidden.

Usage: easq peers path/to/KuaiRand-Pure [--out FOLDER] [--revealed SHARE] [--seeds N]
"""

from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pyarrow as pa
import torch
import typer
from rich.console import Console

from easq.datasets.kuairand import import_files
from easq.datasets.kuairand_files import find_files
from easq.datasets.kuairand_lists import Lists
from easq.history import History
from easq.history_write import write_history
from easq.peers import equal_behaviour_page
from easq.peers.equal_behaviour import compare, evidence_of
from easq.peers.judge import CHOSEN_ON, Truth
from easq.peers.rankers import RANKERS, RIVALS, SUBJECT
from easq.samples import Flat, flatten
from easq.study.report import Findings, Origin
from jobs.peers_report import findings, gauc_table, results_of
from jobs.peers_trainings import Trained, as_set, rankings, train_peers, train_rankers
from jobs.study_output import written

MAX_ROWS = 1 << 20


class Log(NamedTuple):
    """The log as methods learn it, and the same with every like and hate."""

    history: History
    truth: Truth
    day: np.ndarray  # number of the day of each candidate, [N]


def peers(
    data: Annotated[Path, typer.Argument(help="Folder of KuaiRand's files, plain or .gz.")],
    out: Annotated[
        Path, typer.Option(help="Keep scores and pages here; a second start goes on.")
    ] = Path(".easq/peers"),
    revealed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of likes and hates that are answers.")
    ] = 0.1,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of what is random.")] = 3,
    tracking: Annotated[
        str, typer.Option(help="MLflow tracking server or database.")
    ] = "sqlite:///.easq/mlflow.db",
) -> None:
    """Hidden likes and long views, ranked inside user-days: EASQ, EMER and four peers.

    EASQ, the blend and what goes beyond the paper are also compared at equal behaviour. All is
    trained in one process on one thread.
    """
    torch.set_num_threads(1)
    console = Console(soft_wrap=True, markup=False)
    out = out.resolve() / f"revealed-{revealed:g}"
    log = _log(console, data, out, revealed)
    trained = train_rankers(log.history, RANKERS, out / "scores", seeds)
    scores = train_peers(log.history, log.truth, log.day, out / "scores", seeds) | as_set(trained)
    results = results_of(log.truth, scores)
    console.print(gauc_table(results))
    origin = _origin(log.history, revealed, seeds)
    told = findings(log.truth, results, revealed, seeds)
    console.print(f"page: {written('peers', origin, told, out, tracking)}")
    told = _at_equal_behaviour(log, trained, out / "equal-behaviour")
    console.print(f"page: {written('equal-behaviour', origin, told, out, tracking)}")


def _log(console: Console, data: Path, out: Path, revealed: float) -> Log:
    """Import the log twice; nothing is trained on the one with every answer."""
    files = find_files(data)
    console.print(f"reading {', '.join(path.name for path in files.logs)}")
    out.mkdir(parents=True, exist_ok=True)
    histories = [
        write_history(out / name, *import_files(files, Lists.USER_DAY, MAX_ROWS, share))
        for name, share in (("samples", revealed), ("all-answers", 1.0))
    ]
    requests = [day.requests for day in histories[0].description.days]
    if len(requests) <= CHOSEN_ON:
        raise ValueError(
            f"{data} has {len(requests)} days; settings were chosen on the first {CHOSEN_ON}, so "
            f"at least {CHOSEN_ON + 1} are needed"
        )
    truth = Truth.of(*(_flat(history) for history in histories), first=sum(requests[:CHOSEN_ON]))
    day = np.repeat(np.arange(len(requests)), requests)
    return Log(histories[0], truth, day[truth.flat.request])


def _flat(history: History) -> Flat:
    return flatten(pa.concat_tables(history.read(window) for window in history.windows()))


def _at_equal_behaviour(log: Log, trained: Trained, folder: Path) -> Findings:
    """What was found; its picture also as a file."""
    found = compare(evidence_of(log.truth, rankings(trained, RANKERS)), RANKERS, SUBJECT, RIVALS)
    folder.mkdir(exist_ok=True)
    equal_behaviour_page.drawn(found, RANKERS).savefig(
        folder / "trade-off.svg", metadata={"Date": None}
    )
    return equal_behaviour_page.findings(found, RANKERS)


def _origin(history: History, revealed: float, seeds: int) -> Origin:
    about, weights = history.description, list(range(seeds))
    shown = ", ".join(f"{count:,} {answer}" for answer, count in about.answers.items())
    facts = {
        "history": f"{about.name}, digest {about.digest}, {about.candidates:,} views in "
        f"{about.requests:,} user-days",
        "revealed": f"{revealed:.0%} of likes and hates: {shown}",
        "first weights": ", ".join(map(str, weights)),
        "days": f"{len(about.days)}, all but the first {CHOSEN_ON} judged; each is scored before "
        "it is learnt from",
        "training": "as EASQ and EMER are set unless told otherwise, and a method's knob",
    }
    details = {
        "history": about.digest,
        "revealed": revealed,
        "seeds": weights,
        "judged_days": [day.day for day in about.days[CHOSEN_ON:]],
    }
    return Origin(facts, details, [])
