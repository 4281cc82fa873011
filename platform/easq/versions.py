"""From a checkpoint, which training goes on from, to a version, which a server scores with."""

import shutil
from pathlib import Path

from safetensors.torch import load_file

from easq.artefact import VersionFile, load_ranker, save_version
from easq.history import History
from easq.manifest import check_files
from easq.train.config import TrainConfig
from easq.train.position import UNSIGNED, WEIGHTS, check_schema, read_position

GOLDEN_REQUESTS = 8


def version_from_checkpoint(
    checkpoint: Path, config: TrainConfig, history: History, out: Path
) -> Path:
    """Write the version at `out`: beside it first, then checked and renamed.

    Golden requests are the first of the newest window of the history that was learnt. The same
    checkpoint makes the same bytes, hence the same digest.

    Raises:
        ValueError: the checkpoint is damaged, has other features than the history, or its scores
            are not finite.
        FileNotFoundError: the checkpoint is gone; a newer one has taken its place.
    """
    position = read_position(checkpoint)
    features = history.description.features
    check_schema(checkpoint, position, features.schema_hash)
    if position.format != UNSIGNED:
        check_files(checkpoint, [WEIGHTS])
    windows = history.windows(None if config.data.window == "day" else config.data.window)
    newest = windows[min(max(position.next_window, 1), len(windows)) - 1]
    golden = history.read(newest).slice(0, GOLDEN_REQUESTS)
    building = out.with_name(f".{out.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    file = VersionFile(
        features=features, model=config.model, position=position, run=config.run.name
    )
    save_version(building, load_file(checkpoint / WEIGHTS), file, golden)
    load_ranker(building)
    shutil.rmtree(out, ignore_errors=True)
    return building.rename(out)
