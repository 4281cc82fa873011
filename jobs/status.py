"""How the loop is doing: parts, and of each model line versions, windows, lag, the gate.

Usage: easq status [FOLDER] [--json]
"""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from jobs.loop_look import look
from jobs.status_tables import tables


def status(
    folder: Annotated[Path, typer.Argument(help="Where `easq up` keeps its state.")] = Path(
        ".easq/up"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what runs, what is served and what waits."""
    path = folder / "up.json"
    if not path.is_file():
        raise ValueError(f"nothing runs here: {path} is missing. Start the loop with `easq up`.")
    found = look(json.loads(path.read_text()))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console()
    for sentence in found["alarms"]:
        console.print(sentence, style="bold red", soft_wrap=True)
    for table in tables(found):
        console.print(table)
