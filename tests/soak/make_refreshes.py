"""What a hundred refreshes bring: deltas and full versions of a real learner, made beforehand.

Usage: make_refreshes.py OUT REFRESHES EVERY      (with tests/bench on the path, for the reference)

Each delta is of a window of 100 requests of 100 candidates, whose users and items are drawn from
50,000 each by Zipf's law of exponent 1; the tables have 10^6 rows of 64 numbers.

deltas.db        topic `models`, one row a refresh
version-<k>      the weights after k windows, every so many
retrained        weights that no delta leads to
requests.arrow   samples whose requests are asked
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from plain import CPU, settings
from reference import IDS, ROWS, features, samples

from easq.announce import Announcer
from easq.artefact import VersionFile, save_version
from easq.features import FeatureSpec
from easq.log.sqlite import SqliteLog
from easq.train.checkpoint import weights_of
from easq.train.learner import Learner
from easq.train.share import WindowShare, cut

RUN = "soak"
REQUESTS, CANDIDATES = 100, 100
ASKED = 50
"""Different requests."""


def share(spec: FeatureSpec, window: int) -> WindowShare:
    table = samples(REQUESTS, spec, seed=window, candidates=CANDIDATES)
    return cut(table, window, 0, "2026-01-01", 0, 1)


def requests(spec: FeatureSpec) -> pa.Table:
    """Requests to ask, whose candidates differ."""
    table = samples(ASKED, spec, seed=10**6, candidates=CANDIDATES)
    rng, weight = np.random.default_rng(10**6), 1 / np.arange(1, IDS + 1)
    items = [rng.choice(IDS, CANDIDATES, False, weight / weight.sum()) for _ in range(ASKED)]
    place, field = table.schema.get_field_index("item_id"), table.schema.field("item_id")
    return table.set_column(place, field, pa.array(items, field.type))


def save(learner: Learner, directory: Path, run: str, golden: pa.Table) -> None:
    directory.mkdir()
    file = VersionFile(
        features=learner.spec, model=learner.config.model, position=learner.position, run=run
    )
    save_version(directory, weights_of(learner.state), file, golden)


def main(out: Path, refreshes: int, every: int) -> None:
    torch.set_num_threads(1)
    spec = features(ROWS)
    asked = requests(spec)
    with pa.OSFile(str(out / "requests.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, asked.schema) as writer:
            writer.write_table(asked)
    learner = Learner(settings("unread"), spec, CPU)
    announcer = Announcer(SqliteLog(out / "deltas.db"), RUN, 1, learner)
    for k in range(refreshes + 1):
        if k % every == 0 and k < refreshes:
            save(learner, out / f"version-{k}", RUN, asked.slice(0, 4))
        learner.learn(share(spec, k))
        if k < refreshes:
            announcer.announce(learner, {0: REQUESTS * (k + 1)})
    save(learner, out / "retrained", "retrained", asked.slice(0, 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
