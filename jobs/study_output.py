"""Where a study's page, numbers and MLflow run go."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from easq.registry_client import MlflowError
from easq.study.plan import PRESETS, Plan, Preset
from easq.study.report import Findings, Origin, report
from easq.tracking_study import log_study
from easq.train.config import absolute_uri
from jobs.problems import sentence

OUT = Path(".easq/paper")
Out = Annotated[Path, typer.Option(help="Trials, pages and MLflow's database; the same goes on.")]
Size = Annotated[Preset, typer.Option(help="How many worlds and draws of weights, how large.")]
Draws = Annotated[
    int | None,
    typer.Option(min=1, help="Draws of weights in each world, if fewer than the preset has."),
]
Methods = Annotated[
    str | None,
    typer.Option(help="Only these, as in easq,blend, with EMER and the subject; else all."),
]
Address = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster; without it, this machine.")
]
Tracking = Annotated[
    str | None, typer.Option(help="MLflow's address; without it, a database in OUT.")
]
STOPPED = 130


def plan_of(preset: Preset, draws: int | None) -> Plan:
    """Fewer draws than the preset has are its first ones: more later make use of their trials."""
    plan = PRESETS[preset]
    return plan.model_copy(update={"seeds": plan.seeds[:draws]})


def written(name: str, origin: Origin, findings: Findings, out: Path, tracking: str | None) -> Path:
    """OUT/<name>/index.html and result.json, and the same as an MLflow run; returns the page.

    Raises:
        MlflowAwayError: MLflow does not answer; the page is written all the same.
    """
    study = report(name, origin, findings, ["easq", *sys.argv[1:]])
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(study.html)
    (folder / "result.json").write_text(json.dumps(study.result, indent=1))
    uri = absolute_uri(tracking or f"sqlite:///{out / 'mlflow.db'}")
    log_study(uri, name, origin.facts, study.metrics, folder)
    return folder / "index.html"


def said_in(folder: Path) -> list[str]:
    """The sentences of a study that was written."""
    return json.loads((folder / "result.json").read_text())["says"]


@contextmanager
def told_problems() -> Iterator[Console]:
    """A console; the user's problems are sentences with an exit code."""
    try:
        yield Console(soft_wrap=True, markup=False, highlight=False)
    except (ValueError, OSError, MlflowError) as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(sentence(error))
        raise typer.Exit(1 if isinstance(error, MlflowError) else 2) from error
    except KeyboardInterrupt as stop:
        print("stopped; the same command goes on with the trials that are missing", file=sys.stderr)
        raise typer.Exit(STOPPED) from stop
