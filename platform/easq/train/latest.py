"""latest.json of a run's folder: its newest complete checkpoint."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from easq.train.durable import read_model, replace_file


class Latest(BaseModel):
    """Contents of latest.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checkpoint: str
    """Name of the checkpoint's folder in the run's folder."""
    window: int
    """The first window not yet learnt from."""
    step: int


def read_latest(folder: Path) -> Latest | None:
    path = folder / "latest.json"
    return read_model(path, Latest) if path.is_file() else None


def write_latest(folder: Path, latest: Latest) -> None:
    replace_file(folder / "latest.json", latest.model_dump_json())
