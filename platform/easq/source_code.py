"""Which code and which packages a run was made with."""

import importlib.metadata
import subprocess
from pathlib import Path
from typing import NamedTuple


class Revision(NamedTuple):
    """A git commit, and whether files differed from it."""

    sha: str
    dirty: bool


def revision(file: Path = Path(__file__)) -> Revision | None:
    """The commit that `file` belongs to; None where it is installed and not checked out."""
    folder = file.resolve().parent
    # Installed code often lies in a virtual environment inside somebody else's repository.
    if _git(folder, "ls-files", "--error-unmatch", file.name) is None:
        return None
    sha, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if sha is None else Revision(sha, bool(changes))


def packages() -> str:
    """Installed packages as requirements, one a line."""
    found = {f"{d.name}=={d.version}" for d in importlib.metadata.distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=20
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
