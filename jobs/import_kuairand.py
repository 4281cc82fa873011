"""Import the public KuaiRand files as samples.

Usage: easq import kuairand DIR [--out FOLDER] [--lists user-day|last20] [--revealed SHARE]
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from easq.datasets.kuairand import Imported, import_files
from easq.datasets.kuairand_files import find_files
from easq.datasets.kuairand_lists import Lists
from easq.history import History
from easq.history_folder import check_replaceable
from easq.history_write import write_history


def import_kuairand(
    directory: Annotated[Path, typer.Argument(help="Folder of the files, plain or .gz.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an older import is replaced.")] = Path(
        ".easq/kuairand"
    ),
    lists: Annotated[
        Lists, typer.Option(help="A list is a viewer's local day, or twenty rows.")
    ] = Lists.USER_DAY,
    max_rows: Annotated[int, typer.Option(min=1, help="Most embedding rows of one feature.")] = 1
    << 20,
    revealed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of likes and hates that become answers.")
    ] = 1.0,
) -> None:
    """Read the standard logs of KuaiRand-Pure or -1K; write samples by local day."""
    console = Console(soft_wrap=True, markup=False)
    files = find_files(directory)
    check_replaceable(out.resolve())
    for path in (*files.logs, files.users, files.videos):
        console.print(f"reading {path.name} ({path.stat().st_size / 1e6:.1f} MB)")
    imported = import_files(files, lists, max_rows, revealed)
    history = write_history(
        out,
        imported.name,
        imported.features,
        imported.samples,
        imported.sources,
        imported.rejected,
    )
    _report(console, imported, history)


def _report(console: Console, imported: Imported, history: History) -> None:
    description = history.description
    for source in imported.sources:
        console.print(f"{source.rows:>12,} rows in {source.name}")
    for reason, count in sorted(description.rejected.items(), key=lambda pair: -pair[1]):
        console.print(f"{count:>12,} put aside: {reason}")
    days = description.days
    console.print(
        f"{description.candidates:>12,} rows in {description.requests:,} lists over {len(days)} "
        f"days, {days[0].day} to {days[-1].day}; answers {description.answers}"
    )
    if description.rejected:
        console.print(f"rows put aside, with reasons: {history.root / 'rejected.parquet'}")
    console.print(f"samples: {history.root}")
