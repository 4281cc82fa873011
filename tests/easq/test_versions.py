"""A version of a run that has gone on with a log is checked on the history's newest requests."""

import pyarrow as pa
import torch

from easq.artefact import load_ranker
from easq.train.config import parse_config
from easq.train.learner import Learner
from easq.train.share import cut
from easq.versions import version_from_checkpoint


def test_a_checkpoint_past_the_history_becomes_a_version(make_history, random_samples, tmp_path):
    history = make_history(40)
    tables = {
        "run": {"name": "a", "storage": str(tmp_path)},
        "data": {"history": str(history.root), "window": 20},
        "model": {"width": 32},
        "stream": {"log": f"sqlite:///{tmp_path / 'log.db'}"},
    }
    config = parse_config(tables, "test")
    learner = Learner(config, history.description.features, torch.device("cpu"))
    for window in range(2):
        learner.learn(cut(random_samples(20), window, 2, "", 0, 1))
    for window in (2, 3):
        share = cut(random_samples(20, seed=window), window, 2, "", 0, 1)
        learner.learn(share._replace(offsets={0: 20 * (window - 1)}))
    (tmp_path / "window-000004").mkdir()
    learner.save(tmp_path / "window-000004")
    version = version_from_checkpoint(
        tmp_path / "window-000004", config, history, tmp_path / "version"
    )
    assert load_ranker(version).file.position.offsets == {0: 40}
    golden = pa.ipc.open_file(version / "golden.arrow").read_all()
    newest = history.read(history.windows(20)[1]).column("request_id")
    assert golden.column("request_id").to_pylist() == newest.to_pylist()[: golden.num_rows]
