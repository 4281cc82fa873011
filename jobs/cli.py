"""The command `easq`.

Each command is a function of its own file; Ray jobs among them also run as `python -m jobs.<name>`.
"""

import sys

import typer
from rich.console import Console

from jobs.ab import ab
from jobs.ablate import ablate
from jobs.beyond import beyond
from jobs.budget import budget
from jobs.calibrate import calibration
from jobs.compare import compare
from jobs.convergent import convergent
from jobs.demo import demo
from jobs.drain import drain
from jobs.gate import gate, rollback
from jobs.import_kuairand import import_kuairand
from jobs.join import join
from jobs.paper import paper
from jobs.peers import peers
from jobs.problems import sentence
from jobs.simulate import simulate
from jobs.status import status
from jobs.sweep import sweep
from jobs.train import train
from jobs.up import up
from jobs.viewers import viewers

COMMANDS = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # or "[stream]" would be taken for a style
    help="Train and serve EASQ: a short-video ranker that learns what viewers say they think.",
)
IMPORT = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Turn public logs into samples."
)
COMMANDS.add_typer(IMPORT, name="import")
IMPORT.command("kuairand")(import_kuairand)
COMMANDS.command()(simulate)
COMMANDS.command("calibrate")(calibration)
COMMANDS.command()(train)
COMMANDS.command()(drain)
COMMANDS.command()(join)
COMMANDS.command()(demo)
COMMANDS.command()(paper)
COMMANDS.command()(compare)
COMMANDS.command()(beyond)
COMMANDS.command()(budget)
COMMANDS.command()(ablate)
COMMANDS.command()(sweep)
COMMANDS.command()(convergent)
COMMANDS.command()(peers)
COMMANDS.command()(up)
COMMANDS.command()(status)
COMMANDS.command()(viewers)
COMMANDS.command()(gate)
COMMANDS.command()(rollback)
COMMANDS.command()(ab)


def app() -> None:
    """Run the command; a problem of the user's is one sentence and exit code 2."""
    try:
        COMMANDS()
    except (ValueError, OSError) as error:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(sentence(error))
        sys.exit(2)
